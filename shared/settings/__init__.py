"""Settings that every service shares. Environment only, prefix `ONPOINT_`; secrets also as `<NAME>_FILE`.

A wrong or missing value stops the process at start (`load_settings`), never later.
"""
