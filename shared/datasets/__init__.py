"""Datasets are data: YAML files here and in the folder `ONPOINT_DATASETS_DIR`, and the model they must fit."""
