"""A real mail server on a free port of this host."""

from __future__ import annotations

from aiosmtpd.controller import Controller


class LoopbackController(Controller):
    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        super()._trigger_server()  # type: ignore[no-untyped-call]
