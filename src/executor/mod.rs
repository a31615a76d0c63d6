//! What runs beside the tasks: Docker containers and plain processes, their checks and logs.
