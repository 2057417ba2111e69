-- Run once by the Postgres image, when its volume is empty; POSTGRES_DB has made `prefect`.
CREATE DATABASE mlflow;
