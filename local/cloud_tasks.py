"""A stand-in for Cloud Tasks, which has no official emulator: gRPC's `CreateTask`, and HTTP requests in time.

Tasks are kept in memory. A task's request is repeated until it is answered by 2xx, and its name is taken for as long as
the server runs, both as the real service does (within its limits).
"""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import httpx
from google.cloud import tasks_v2

log = logging.getLogger(__name__)

SERVICE = "google.cloud.tasks.v2.CloudTasks"
FIRST_PAUSE_SECONDS = 0.1
LONGEST_PAUSE_SECONDS = 5.0


class CloudTasks:
    """The service. `tasks`: what was created, in order; `fail_next`: as many calls are answered UNAVAILABLE."""

    def __init__(self) -> None:
        self.tasks: list[tasks_v2.Task] = []
        self.fail_next = 0
        self._names: set[str] = set()
        self._due: list[tuple[float, int, float, tasks_v2.Task]] = []
        self._numbers = itertools.count()
        self._changed = threading.Condition()
        self._closing = False
        self._http = httpx.Client(timeout=10)
        self._runner = threading.Thread(target=self._run, name="cloud-tasks", daemon=True)
        self._runner.start()

    def create_task(self, request: tasks_v2.CreateTaskRequest, context: Any) -> tasks_v2.Task:
        """The RPC."""
        task = request.task
        with self._changed:
            if self.fail_next > 0:
                self.fail_next -= 1
                context.abort(grpc.StatusCode.UNAVAILABLE, "told to fail")
            if not task.name.startswith(f"{request.parent}/tasks/"):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the task's name is not of this queue")
            if task.name in self._names:
                context.abort(grpc.StatusCode.ALREADY_EXISTS, "there is a task of this name")
            self._names.add(task.name)
            self.tasks.append(task)
            self._plan(task.schedule_time.timestamp(), FIRST_PAUSE_SECONDS, task)
        return task

    def close(self) -> None:
        """Ends it; what is not due yet is lost."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._runner.join()
        self._http.close()

    def _plan(self, moment: float, pause: float, task: tasks_v2.Task) -> None:
        heapq.heappush(self._due, (moment, next(self._numbers), pause, task))
        self._changed.notify_all()

    def _run(self) -> None:
        while True:
            with self._changed:
                if self._closing:
                    return
                wait = self._due[0][0] - time.time() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, pause, task = heapq.heappop(self._due)
            if not self._succeeds(task.http_request):
                with self._changed:
                    self._plan(time.time() + pause, min(2 * pause, LONGEST_PAUSE_SECONDS), task)

    def _succeeds(self, asked: tasks_v2.HttpRequest) -> bool:
        try:
            reply = self._http.request(
                asked.http_method.name, asked.url, headers=dict(asked.headers), content=asked.body
            )
        except httpx.HTTPError as error:
            log.warning("a task's request failed: %s", type(error).__name__)
            return False
        if not reply.is_success:
            log.warning("a task's request was answered %d", reply.status_code)
        return reply.is_success


@contextmanager
def running_cloud_tasks(port: int = 0) -> Iterator[tuple[str, CloudTasks]]:
    """Serves on loopback while the block lasts; gives host:port and the service."""
    service = CloudTasks()
    handler = grpc.unary_unary_rpc_method_handler(
        service.create_task,
        request_deserializer=tasks_v2.CreateTaskRequest.deserialize,
        response_serializer=tasks_v2.Task.serialize,
    )
    server = grpc.server(ThreadPoolExecutor(8))
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"CreateTask": handler})])
    bound = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{bound}", service
    finally:
        server.stop(grace=None).wait()
        service.close()
