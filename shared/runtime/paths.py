"""Paths of the services' HTTP servers that other programs ask for."""

RESUME_PATH = "/resume"
HEALTH_PATH = "/health/pipeline"
