"""Where results came from, and the MLflow view of them; importing this loads neither MLflow nor torch."""

# For every process that runs MLflow: nothing is reported to its makers. MLflow compares DO_NOT_TRACK with the word.
MLFLOW_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
# Where the user has set nothing else: no chatter, and a server that is away is told within seconds.
MLFLOW_DEFAULTS = {
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
}
