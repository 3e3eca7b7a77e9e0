"""The HTTP edge: FastAPI routers, one a resource, and the application they are composed into."""
