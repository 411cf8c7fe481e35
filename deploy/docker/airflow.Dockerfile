# Airflow with the DAGs, the plugin and what they import: one image for every part of it (deploy/k8s/airflow).
#   docker build -f deploy/docker/airflow.Dockerfile -t onpoint-airflow:0.1.0 .
FROM apache/airflow:3.3.2
COPY deploy/airflow/requirements.in /requirements.txt
RUN pip install --no-cache-dir -r /requirements.txt
COPY deploy/airflow/dags /opt/airflow/dags
COPY deploy/airflow/plugins /opt/airflow/plugins
# Of the pipeline's own code the plugin imports these alone.
COPY shared/__init__.py shared/errors.py shared/reasons.py /opt/airflow/onpoint/shared/
COPY shared/events /opt/airflow/onpoint/shared/events
ENV PYTHONPATH=/opt/airflow/onpoint \
    AIRFLOW__CORE__LOAD_EXAMPLES=false
USER 50000:0
