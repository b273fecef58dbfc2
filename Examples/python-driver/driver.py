#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A driver for AltNet whose medium is a file of raw 80-byte block headers: a satellite's dump, a USB stick.

Written from Protos/altnet/driver/v1/driver.proto alone. README.md says how to make the stubs and how to attach it.
"""
import asyncio, hashlib, json, os, sys

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "stubs"))
import grpc
from altnet.driver.v1 import driver_pb2 as pb, driver_pb2_grpc

POLL_SECONDS = 0.5  # Blocks come every ten minutes, and looking at a file's date costs next to nothing.


def fail(sentence, status):
    print(sentence, file=sys.stderr)
    sys.exit(status)


class HeaderFile:
    def __init__(self, path):
        self.path, self.stamp, self.data, self.end_of = path, None, b"", {}

    def has_changed(self):
        """Reads the file again if it changed. A header that is still being written waits for its last byte."""
        status = os.stat(self.path)
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if stamp == self.stamp:
            return False
        with open(self.path, "rb") as file:
            data = file.read()
        data = data[: len(data) // 80 * 80]
        known = len(self.data) if data.startswith(self.data) else 0
        if not known:
            self.end_of = {data[4:36]: 0}  # What the first header follows: the file may begin anywhere in the chain.
        for end in range(known + 80, len(data) + 80, 80):
            self.end_of[hashlib.sha256(hashlib.sha256(data[end - 80 : end]).digest()).digest()] = end
        is_news, self.stamp, self.data = data != self.data, stamp, data
        return is_news

    def answer(self, locator, stop, limit):
        hashes = (locator[i : i + 32] for i in range(0, len(locator), 32))
        start = next((self.end_of[block] for block in hashes if block in self.end_of), 0)
        return self.data[start : min(self.end_of.get(stop, len(self.data)), start + 80 * limit)]


class Driver:
    def __init__(self, start):
        settings = dict(start["settings"])
        path = settings.pop("file", "")
        if settings or not isinstance(path, str) or not path:
            fail(f"there is no setting {min(settings)}" if settings else "the setting file must be a path", 78)
        self.file, self.name = HeaderFile(path), path.encode("ascii", "replace").decode()[-500:]
        self.outbox, self.link, self.links, self.trouble = asyncio.Queue(), 0, 0, ""
        self.say(hello=pb.Hello(
            name=start["name"], secret=start["secret"], protocol_version=1, software="altnet-python-driver 0.1.0",
            capabilities=pb.Capabilities(
                requests=[pb.OBJECT_KIND_HEADERS], announces=[pb.OBJECT_KIND_TIPS], direction=pb.DIRECTION_OUTBOUND,
                latency=pb.LATENCY_MILLISECONDS, bandwidth=pb.BANDWIDTH_MEGABYTES, cost=pb.COST_FREE,
                exposure=pb.EXPOSURE_NONE)))

    def say(self, **message):
        self.outbox.put_nowait(pb.FromDriver(**message))

    async def messages(self):
        while message := await self.outbox.get():
            yield message

    async def poll(self):
        """Keeps a link open while the file can be read. One that altnetd closed opens again when the file changes."""
        while True:
            try:
                if self.file.has_changed() and self.file.data:
                    self.open_link()
                    tip = pb.Tip(header=self.file.data[-80:])
                    self.say(announcement=pb.Announcement(link=self.link, tip=tip))
                    self.trouble = ""
            except OSError as error:
                reason = pb.Reason(code="unreachable", detail=error.strerror)
                if self.trouble != error.strerror:  # Told once, not twice a second.
                    failed = pb.TargetFailed(target=self.name, reason=reason, retry_in_milliseconds=500)
                    self.close_link(reason)
                    self.say(target_failed=failed)
                self.file, self.trouble = HeaderFile(self.file.path), error.strerror
            await asyncio.sleep(POLL_SECONDS)

    def open_link(self):
        if not self.link:
            self.link = self.links = self.links + 1
            self.say(link_opened=pb.LinkOpened(
                link=self.link, target=self.name, remote=self.name, requests=[pb.OBJECT_KIND_HEADERS]))

    def close_link(self, reason):
        if self.link:
            self.say(link_closed=pb.LinkClosed(link=self.link, reason=reason))
            self.link = 0

    def on(self, message):
        kind = message.WhichOneof("message")
        if kind == "ping":
            self.say(pong=pb.Pong(number=message.ping.number))
        elif kind == "request" and message.request.link == self.link:
            answer = pb.Answer(link=self.link, request=message.request.request)
            if message.request.HasField("headers"):
                asked = message.request.headers
                answer.headers = self.file.answer(asked.locator, asked.stop, asked.limit)
            else:
                answer.refused.why = pb.Refused.WHY_UNSUPPORTED
            self.say(answer=answer)
        elif kind == "close_link" and message.close_link.link == self.link:
            self.close_link(message.close_link.reason)
        elif kind == "stop":
            self.outbox.put_nowait(None)  # Ends our side of the call; altnetd then ends its own.

    async def run(self, socket):
        # The end of standard input says that altnetd is gone.
        asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 4096) or os._exit(0))
        async with grpc.aio.insecure_channel(f"unix:{socket}") as channel:
            polling = asyncio.create_task(self.poll())
            async for message in driver_pb2_grpc.OrchestratorStub(channel).Attach(self.messages()):
                self.on(message)
            polling.cancel()


async def main():
    start = json.loads(sys.stdin.readline())
    try:
        await Driver(start).run(start["socket"])
    except grpc.aio.AioRpcError as error:
        fail(f"altnetd ended the call: {error.code().name}: {error.details()}", 1)


if __name__ == "__main__":
    asyncio.run(main())
