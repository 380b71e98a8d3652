"""What is used of MLflow, imported after its settings: they are read from the environment as it is imported."""

from __future__ import annotations

import os

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # two lines a trial, into a pipe
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")  # what it does with a database's tables is of no interest
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "5")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")  # we retry, after asking what arrived

from mlflow.entities import Dataset as Dataset
from mlflow.entities import DatasetInput as DatasetInput
from mlflow.entities import Metric as Metric
from mlflow.entities import Param as Param
from mlflow.entities import RunTag as RunTag
from mlflow.entities import ViewType as ViewType
from mlflow.exceptions import MlflowException as MlflowException
from mlflow.tracking import MlflowClient as MlflowClient
from mlflow.utils.file_utils import local_file_uri_to_path as local_file_uri_to_path
from mlflow.version import VERSION as VERSION
from sqlalchemy.exc import SQLAlchemyError

UNREACHABLE = (MlflowException, SQLAlchemyError, OSError)
"""What MLflow's client raises where a server or a database does not do what it should."""
