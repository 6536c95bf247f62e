"""HTTP as far as the fault layer needs it: messages, and the emulators that they go on to."""

import asyncio
import contextlib
import json
import time
import urllib.parse
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

Json = dict[str, Any]
Found = TypeVar("Found")


class Message:
    """One HTTP message, request or answer: start line, headers with lower-case names, body."""

    def __init__(self, start: str, headers: Mapping[str, str], body: bytes = b""):
        self.start, self.headers, self.body = start, dict(headers), body

    @property
    def status(self) -> int:
        return int(self.start.split(" ", 2)[1])

    def json(self) -> Json:
        """The body as an object; empty where it is none."""
        with contextlib.suppress(ValueError):
            value = json.loads(self.body or b"{}")
            return value if isinstance(value, dict) else {}
        return {}

    def with_json(self, value: object) -> "Message":
        return Message(self.start, self.headers, json.dumps(value).encode())

    def write(self, writer: asyncio.StreamWriter) -> None:
        headers = {**self.headers, "content-length": str(len(self.body))}
        ours = ("transfer-encoding", "keep-alive")
        head = [self.start, *(f"{name}: {value}" for name, value in headers.items() if name not in ours)]
        writer.write("\r\n".join(head).encode("latin-1") + b"\r\n\r\n" + self.body)

    @staticmethod
    async def read(reader: asyncio.StreamReader) -> "Message":
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        start, *lines = head[:-4].split("\r\n")
        headers = {name.strip().lower(): value.strip() for name, value in (line.split(":", 1) for line in lines)}
        body = b""
        if headers.get("transfer-encoding", "").lower() == "chunked":
            while size := int((await reader.readline()).split(b";")[0], 16):
                body += (await reader.readexactly(size + 2))[:-2]
            await reader.readuntil(b"\r\n")
        elif length := int(headers.get("content-length", 0)):
            body = await reader.readexactly(length)
        return Message(start, headers, body)


def answer(status: int, value: object, **headers: str) -> Message:
    """An answer of ours."""
    head = {"content-type": "application/x-amz-json-1.1", **headers}
    return Message(f"HTTP/1.1 {status} .", head, json.dumps(value).encode())


async def each(names: Iterable[str], ask: Callable[[str], Awaitable[Found]]) -> list[Found]:
    """What `ask` answers for each; a few at a time, since the emulator is no faster with a hundred connections."""
    gate = asyncio.Semaphore(8)

    async def one(name: str) -> Found:
        async with gate:
            return await ask(name)

    return await asyncio.gather(*map(one, names))


class Upstream:
    """An emulator. Connections are kept for a moment, so that a burst does not use up the ports."""

    def __init__(self, url: str):
        self.netloc = urllib.parse.urlsplit(url).netloc
        self.host, _, self.port = self.netloc.partition(":")
        self.idle: list[tuple[float, asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def send(self, message: Message) -> Message:
        drop = ("connection", "expect", "accept-encoding", "host")  # Nothing compressed: answers are rewritten.
        headers = {name: value for name, value in message.headers.items() if name not in drop}
        request = Message(message.start, {"host": self.netloc, **headers}, message.body)
        while self.idle and time.monotonic() - self.idle[0][0] > 1:
            self.idle.pop(0)[2].close()
        if self.idle:
            _, reader, writer = self.idle.pop()
        else:
            reader, writer = await asyncio.open_connection(self.host, int(self.port), limit=2**22)
        try:
            request.write(writer)
            reply = await asyncio.wait_for(Message.read(reader), 60)
        except BaseException:
            writer.close()
            raise
        self.idle.append((time.monotonic(), reader, writer))
        reply.headers.pop("connection", None)
        return reply

    async def ask(self, service: str, target: str, region: str, body: Json) -> Message:
        """A question of our own, which is no call of the client's."""
        scope = f"Credential=fault/20260101/{region}/{service}/aws4_request"
        headers = {
            "content-type": "application/x-amz-json-1.1",
            "x-amz-target": target,
            "authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0",
            "x-amz-date": "20260101T000000Z",
        }
        return await self.send(Message("POST / HTTP/1.1", headers, json.dumps(body).encode()))
