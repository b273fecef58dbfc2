#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""A driver that misbehaves in the way that its setting `behaviour` names, to see that altnetd survives it.

Attach it so, from the repository:

  altnet driver attach bad --program "$PWD/Tests/Tools/bad-driver" --setting settings.behaviour=flood

Behaviours:

  good             none: a link that has no headers, pings answered, a clean stop. With the setting `answers`, a JSON
                   object, it offers the operations that are named there and answers with what stands there: an object
                   as it is, a text as a failure, null never
  crash            exits with status 3 right after Hello
  crash-link       opens a link, then exits with status 3
  crash-loop       exits with status 3 before it connects, every time
  hang             says Hello, opens a link, then answers nothing, pings included
  never-hello      opens the call and says nothing
  late-hello       says something else before Hello
  second-hello     says Hello twice
  wrong-secret     says Hello with another secret
  wrong-version    says Hello with protocol version 2
  flood            announces tips as fast as the stream takes them, for ever
  flood-links      opens and closes links as fast as the stream takes them, for ever
  flood-bytes      announces transactions of 7 MiB as fast as the stream takes them, for ever
  flood-failures   tells of ever new failing targets, as fast as the stream takes them, for ever
  flood-requests   asks for headers as fast as the stream takes them, for ever, and reads none of the answers
  flood-streams    opens streams as fast as the stream takes them, and resets each, for ever
  flood-stderr     writes to standard error as fast as it can, for ever
  big              sends one message of 9 MiB
  lie-work         answers requests with headers without proof of work
  lie-linkage      answers requests with headers that do not follow each other
  lie-unconnected  answers requests with one valid header that follows a block that nobody knows
  garbage-length   answers with headers of 100 bytes
  garbage-kind     opens a link that serves a kind of object that does not exist
  garbage-reason   closes a link for a reason that does not exist
  garbage-empty    sends a message without content
  garbage-answer   answers without content
  garbage-bytes    sends bytes that are no message at all
  garbage-text     opens a link to a remote with a line break in its name
  link-zero        opens link 0
  link-twice       opens link 1 twice
  too-many-links   opens 200 links
  stream-unasked   opens a stream without having said that its links carry any
  stream-unknown   says something about a stream that was never opened
  operation-name   offers an operation whose name is out of form
  operation-array  answers an operation with JSON that is no object
  operation-crash  exits with status 3 when it is asked for an operation
  transactions     opens a link and announces the transactions that the setting `transactions` lists, in hexadecimal
  silent-requests  opens a link, answers pings, and no request
  setup-error      exits with status 78 and a sentence
  ignores-stop     ignores Stop, the end of standard input and SIGTERM
"""
import asyncio
import hashlib
import json
import os
import signal
import struct
import sys
import time

import driver_stubs

pb, rpc, grpc = driver_stubs.load()

REGTEST_GENESIS = bytes.fromhex("06226e46111a0b59caaf126043eb5bbf28c34f3a5e332a1fc7b2b73cf188910f")
# Later than the median of whatever chain altnetd follows, and not too far ahead.
NOW = int(time.time())
# A message is made once where it is the same every time: the flood should cost us less than altnetd.
TIP = bytes(80)


def double_sha256(data: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(data).digest()).digest()


def header(previous: bytes, number: int, has_work: bool = True) -> bytes:
    """A header on `previous` that has regtest's proof of work, or decidedly has not."""
    root = hashlib.sha256(struct.pack("<Q", number)).digest()
    # Half of all hashes have the proof of work, so the search is short either way.
    for nonce in range(1 << 32):
        candidate = struct.pack("<i32s32sIII", 0x20000000, previous, root, NOW + number, 0x207FFFFF, nonce)
        if (double_sha256(candidate)[31] <= 0x7F) == has_work:
            return candidate
    raise AssertionError("unreachable")


def chain(previous: bytes, count: int) -> bytes:
    headers = b""
    for number in range(1, count + 1):
        headers += header(previous, number)
        previous = double_sha256(headers[-80:])
    return headers


class BadDriver:
    def __init__(self, start: dict, behaviour: str) -> None:
        self.start = start
        self.behaviour = behaviour
        # Bounded, so that a flood waits for the stream instead of filling our own memory.
        self.outbox: asyncio.Queue = asyncio.Queue(maxsize=64)
        self.answers = json.loads(start["settings"].get("answers", "{}"))
        self.reads = behaviour not in ("hang", "flood-requests")

    async def say(self, **message) -> None:
        await self.outbox.put(pb.FromDriver(**message))

    async def messages(self):
        while (message := await self.outbox.get()) is not None:
            yield message

    def hello(self, **changes) -> "pb.Hello":
        fields = dict(
            name=self.start["name"], secret=self.start["secret"], protocol_version=1, software="bad-driver 0",
            capabilities=pb.Capabilities(
                requests=[pb.OBJECT_KIND_HEADERS], serves=[pb.OBJECT_KIND_HEADERS],
                announces=[pb.OBJECT_KIND_TIPS, pb.OBJECT_KIND_TRANSACTIONS],
                direction=pb.DIRECTION_OUTBOUND, latency=pb.LATENCY_MILLISECONDS,
                bandwidth=pb.BANDWIDTH_MEGABYTES, cost=pb.COST_FREE, exposure=pb.EXPOSURE_NONE,
                operations={
                    "operation-name": ["Do it"], "operation-array": ["do"], "operation-crash": ["do"],
                }.get(self.behaviour, list(self.answers)),
                streams=self.behaviour in ("stream-unknown", "flood-streams"),
            ),
        )
        return pb.Hello(**{**fields, **changes})

    async def open_link(self, number: int = 1, **changes) -> None:
        fields = dict(link=number, remote=f"nowhere {number}", requests=[pb.OBJECT_KIND_HEADERS])
        await self.say(link_opened=pb.LinkOpened(**{**fields, **changes}))

    async def misbehave(self) -> None:
        behaviour = self.behaviour
        if behaviour == "never-hello":
            return
        if behaviour == "late-hello":
            await self.say(pong=pb.Pong(number=1))
        await self.say(hello=self.hello(
            secret="0" * 64 if behaviour == "wrong-secret" else self.start["secret"],
            protocol_version=2 if behaviour == "wrong-version" else 1,
        ))

    async def after_welcome(self) -> None:
        behaviour = self.behaviour
        match behaviour:
            case "crash":
                os._exit(3)
            case "second-hello":
                await self.say(hello=self.hello())
            case "big":
                await self.open_link()
                await self.say(answer=pb.Answer(link=1, request=1, headers=bytes(9 << 20)))
            case "garbage-kind":
                await self.open_link(requests=[99])
            case "garbage-text":
                await self.open_link(remote="nowhere\nincident closed")
            case "garbage-empty":
                await self.say()
            case "link-zero":
                await self.open_link(0)
            case "too-many-links":
                for number in range(1, 201):
                    await self.open_link(number)
            case "flood-links":
                await self.flood_links()
            case "flood-failures":
                await self.flood_failures()
            case _:
                await self.open_link()
        match behaviour:
            case "crash-link":
                # The link must have reached altnetd: its first request shows that it did.
                pass
            case "link-twice":
                await self.open_link()
            case "garbage-reason":
                await self.say(link_closed=pb.LinkClosed(link=1, reason=pb.Reason(code="because")))
            case "flood":
                flood = pb.FromDriver(announcement=pb.Announcement(link=1, tip=pb.Tip(header=TIP, height=1)))
                while True:
                    await self.outbox.put(flood)
            case "flood-bytes":
                flood = pb.FromDriver(announcement=pb.Announcement(link=1, transaction=bytes(7 << 20)))
                while True:
                    await self.outbox.put(flood)
            case "flood-requests":
                number = 0
                while True:
                    number += 1
                    await self.say(request=pb.Request(link=1, request=number, headers=pb.HeadersRequest(
                        locator=REGTEST_GENESIS, limit=8192)))
            case "transactions":
                for transaction in self.start["settings"]["transactions"].split(" "):
                    await self.say(announcement=pb.Announcement(link=1, transaction=bytes.fromhex(transaction)))
            case "stream-unasked":
                await self.say(stream=pb.Stream(link=1, stream=1, open=pb.STREAM_PURPOSE_BITCOIN_P2P))
            case "stream-unknown":
                await self.say(stream=pb.Stream(link=1, stream=7, end=pb.StreamEnd()))
            case "flood-streams":
                for number in range(1, 1 << 31, 2):
                    await self.say(stream=pb.Stream(link=1, stream=number, open=pb.STREAM_PURPOSE_BITCOIN_P2P))
                    await self.say(stream=pb.Stream(link=1, stream=number, reset=pb.STREAM_RESET_CLOSED))
            case "flood-stderr":
                line = b"the same line for ever and ever, to see what becomes of it\n" * 100
                loop = asyncio.get_running_loop()
                while True:
                    await loop.run_in_executor(None, os.write, 2, line)  # Pings are answered meanwhile.

    async def flood_links(self) -> None:
        number = 0
        while True:
            number += 1
            await self.open_link(number)
            await self.say(link_closed=pb.LinkClosed(link=number, reason=pb.Reason(code="closed")))

    async def flood_failures(self) -> None:
        number = 0
        while True:
            number += 1
            reason = pb.Reason(code="unreachable", detail="x" * 1000)
            await self.say(target_failed=pb.TargetFailed(target=f"{number:0500}", reason=reason))

    async def answer(self, request: "pb.Request") -> None:
        answer = pb.Answer(link=request.link, request=request.request)
        locator = request.headers.locator[:32]
        match self.behaviour:
            case "lie-work":
                answer.headers = header(locator, 1, has_work=False)
            case "lie-linkage":
                answer.headers = chain(locator, 3) + chain(locator, 3)
            case "lie-unconnected":
                answer.headers = header(bytes(31) + b"\x01", 1)
            case "garbage-length":
                answer.headers = bytes(100)
            case "garbage-answer":
                pass
            case "crash-link":
                os._exit(3)
            case "silent-requests":
                return
            case _:
                answer.headers = b""
        await self.say(answer=answer)

    async def perform(self, operation: "pb.Operation") -> None:
        result = pb.OperationResult(id=operation.id)
        if self.behaviour == "operation-crash":
            os._exit(3)
        if self.behaviour == "operation-array":
            result.body = b"[]"
        elif (answer := self.answers[operation.name]) is None:
            print(f"asked for {operation.name}", file=sys.stderr, flush=True)
            return
        elif isinstance(answer, str):
            result.failure = answer
        else:
            # What was asked is told back, so that a test sees that it arrived.
            result.body = json.dumps({**answer, "asked": json.loads(operation.body)}).encode()
        await self.say(operation_result=result)

    async def run(self) -> None:
        options = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        async with grpc.aio.insecure_channel(f"unix:{self.start['socket']}", options=options) as channel:
            if self.behaviour == "garbage-bytes":
                call = channel.stream_stream("/altnet.driver.v1.Orchestrator/Attach")(self.garbage())
                async for _ in call:
                    pass
                return
            speaking = asyncio.create_task(self.misbehave())
            async for message in rpc.OrchestratorStub(channel).Attach(self.messages()):
                kind = message.WhichOneof("message")
                if kind == "welcome":
                    speaking = asyncio.create_task(self.after_welcome())
                    if not self.reads:
                        await asyncio.Event().wait()
                elif kind == "ping" and not speaking.cancelled():
                    await self.say(pong=pb.Pong(number=message.ping.number))
                elif kind == "request":
                    await self.answer(message.request)
                elif kind == "operation":
                    await self.perform(message.operation)
                elif kind == "close_link":
                    await self.say(link_closed=pb.LinkClosed(
                        link=message.close_link.link, reason=message.close_link.reason))
                elif kind == "stop" and self.behaviour != "ignores-stop":
                    speaking.cancel()
                    await self.outbox.put(None)
            if self.behaviour == "ignores-stop":
                await asyncio.Event().wait()

    async def garbage(self):
        yield pb.FromDriver(hello=self.hello()).SerializeToString()
        yield b"\xff" * 100


async def main() -> None:
    start = json.loads(sys.stdin.readline())
    behaviour = start["settings"].get("behaviour", "good")
    if f"\n  {behaviour} " not in __doc__:
        print(f"there is no behaviour {behaviour}", file=sys.stderr)
        sys.exit(78)
    if behaviour == "setup-error":
        print("the dish points at the wrong satellite", file=sys.stderr)
        sys.exit(78)
    if behaviour == "crash-loop":
        print("crashing as asked", file=sys.stderr)
        sys.exit(3)
    if behaviour == "ignores-stop":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        # The end of standard input says that altnetd is gone.
        asyncio.get_running_loop().add_reader(0, lambda: os.read(0, 4096) or os._exit(0))
    try:
        await BadDriver(start, behaviour).run()
    except grpc.aio.AioRpcError as error:
        print(f"altnetd ended the call: {error.code().name}: {error.details()}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    asyncio.run(main())
