"""The version of this code: of the package, in manifests, in what a source sees, in the images."""

CODE_VERSION = "0.1.0"
