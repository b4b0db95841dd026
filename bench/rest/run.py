"""What the REST service adds to the SQL call, and what it is like under load.

run.py BINARY DATABASE_URL PG_BIN RECORDING [SECONDS]: one client's embeddings beside the bare SQL call, in turns; then 200
clients at once for SECONDS (120); then clients that misbehave, 100,000 keys. Prints tables. The database needs a role
"analyst" that may read the recording, and `ai_audio_server init --grant analyst`.
"""

import asyncio
import collections
import json
import os
import pathlib
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time

BINARY, DATABASE, PG_BIN, RECORDING, *REST = sys.argv[1:]
SECONDS = int(REST[0]) if REST else 120
ENVIRONMENT = {**os.environ, "AI_AUDIO_SERVER_DATABASE_URL": DATABASE}


def psql(sql):
    return subprocess.run([f"{PG_BIN}/psql", "-XqAt", DATABASE, "-c", sql], check=True, capture_output=True, text=True).stdout.strip()


class Service:
    def __init__(self, *flags):
        self.log = tempfile.NamedTemporaryFile("r+")
        self.process = subprocess.Popen([BINARY, "--listen", "127.0.0.1:0", "--log", "info", *flags], env=ENVIRONMENT, stderr=self.log)
        while not (found := re.search(r'"listening","url":"http://([^:]+):(\d+)', pathlib.Path(self.log.name).read_text())):
            time.sleep(0.05)
        self.address = found[1], int(found[2])

    def memory(self):
        """Private memory, MB."""
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return int(re.search(r"Pss_Anon:\s+(\d+)", text)[1]) / 1024

    def stop(self):
        self.process.terminate()
        self.process.wait()


def request(path, body=None, key="", method="POST"):
    body = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class Client:
    """HTTP on one connection that is kept."""

    def __init__(self, address):
        self.address, self.streams = address, None

    async def ask(self, message):
        if self.streams is None:
            self.streams = await asyncio.open_connection(*self.address)
        reader, writer = self.streams
        writer.write(message)
        await writer.drain()
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        body = await reader.readexactly(int(re.search(r"content-length: (\d+)", head)[1]))
        if "connection: close" in head:
            writer.close()
            self.streams = None
        return int(head.split(" ")[1]), body


def quantiles(values):
    cuts = statistics.quantiles(values, n=100)
    return cuts[49], cuts[98]


def bare(calls):
    """Milliseconds of the bare SQL call in one warm session, by pgbench."""
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "embed.sql"
        script.write_text(f"SELECT ai_audio_embed('audio_embedding', '{RECORDING}', '{{}}'::jsonb)::real[];\n")
        subprocess.run([f"{PG_BIN}/pgbench", "-n", "-c1", f"-t{calls}", "-l", f"--log-prefix={folder}/log", "-f", script, DATABASE], check=True, capture_output=True)
        lines = next(pathlib.Path(folder).glob("log.*")).read_text().splitlines()
    # The first call loads the models.
    return [int(line.split()[2]) / 1000 for line in lines[2:]]


async def one_client(service, key):
    message = request("/audio/embedding", {"input_audio": RECORDING}, key)
    through, plain = [], []
    client = Client(service.address)
    for _ in range(4):
        await client.ask(message)
    for _ in range(5):
        plain += bare(32)
        for _ in range(30):
            began = time.perf_counter()
            status, _ = await client.ask(message)
            assert status == 200, status
            through.append(1000 * (time.perf_counter() - began))
    (p, pp), (t, tt) = quantiles(plain), quantiles(through)
    print("| One client, 150 embeddings each, in turns | p50 ms | p99 ms |\n|---|---|---|")
    print(f"| bare SQL (pgbench, one session) | {p:.1f} | {pp:.1f} |\n| through the service | {t:.1f} | {tt:.1f} |\n| ratio | {t / p:.2f} | {tt / pp:.2f} |\n")


async def many_clients(service, key, number=200):
    message = request("/audio/embedding", {"input_audio": RECORDING}, key)
    statuses, times, memory = collections.Counter(), [], []
    end = time.monotonic() + SECONDS

    async def client():
        one = Client(service.address)
        while time.monotonic() < end:
            began = time.perf_counter()
            try:
                status, _ = await one.ask(message)
            except (OSError, asyncio.IncompleteReadError) as error:
                statuses[type(error).__name__] += 1
                one.streams = None
                continue
            statuses[status] += 1
            if status == 200:
                times.append(1000 * (time.perf_counter() - began))
            else:
                await asyncio.sleep(0.5)

    async def watch():
        while time.monotonic() < end:
            memory.append(service.memory())
            await asyncio.sleep(SECONDS / 12)

    await asyncio.gather(watch(), *(client() for _ in range(number)))
    p50, p99 = quantiles(times)
    print(f"| {number} clients for {SECONDS} s | |\n|---|---|")
    print(f"| answers | {', '.join(f'{count} x {status}' for status, count in statuses.most_common())} |")
    print(f"| embeddings per second | {len(times) / SECONDS:.1f} |\n| p50, p99 of those, queue included | {p50:.0f} ms, {p99:.0f} ms |")
    print(f"| private memory of the service, MB, twelve times | {', '.join(f'{value:.1f}' for value in memory)} |\n")


async def misbehaving(service, key):
    async def alive():
        return (await Client(service.address).ask(request("/voice/query?limit=1", key=key, method="GET")))[0]

    print("| What a client does | What happens |\n|---|---|")
    # Asks for ids and takes no answer: answers fill the socket, then the service waits, then gives up.
    psql("INSERT INTO ai.voices (name, voiceprint) SELECT 'voice ' || i, array_fill(1::real, '{192}')::vector FROM generate_series(1, 1000) i")
    slow = socket.create_connection(service.address)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    before = service.memory()
    slow.setblocking(False)
    sent = 0
    for _ in range(200):
        try:
            sent += slow.send(request("/voice/query", key=key, method="GET"))
        except BlockingIOError:
            await asyncio.sleep(0.01)
    await asyncio.sleep(2)
    held, status = service.memory(), await alive()
    began = time.monotonic()
    slow.setblocking(True)
    await asyncio.sleep(33)
    slow.settimeout(20)
    try:
        while slow.recv(1 << 20):
            pass
        ended = "closed"
    except ConnectionResetError:
        ended = "reset"
    except TimeoutError:
        ended = "still open"
    print(f"| sends 200 requests for 1,000 voices, reads nothing | {held - before:+.1f} MB; others are answered ({status}); {ended} after {time.monotonic() - began:.0f} s |")
    psql("DELETE FROM ai.voices WHERE name LIKE 'voice %'")
    # Sockets that are opened and say nothing.
    before = service.memory()
    quiet = [socket.create_connection(service.address) for _ in range(500)]
    await asyncio.sleep(1)
    held, status = service.memory(), await alive()
    await asyncio.sleep(32)
    closed = 0
    for one in quiet:
        one.settimeout(0.01)
        try:
            closed += one.recv(1) == b""
        except TimeoutError:
            pass
        except ConnectionResetError:
            closed += 1
    print(f"| opens 500 connections and says nothing | {held - before:+.1f} MB; others are answered ({status}); {closed} of 500 closed after 33 s |")
    # Two gigabytes: announced, and sent in chunks.
    head = f"POST /audio/embedding HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Type: audio/wav\r\n"
    for what, length in [("announces a body of 2 GB", "Content-Length: 2147483648\r\n\r\n"), ("sends 2 GB in chunks", "Transfer-Encoding: chunked\r\n\r\n")]:
        big = socket.create_connection(service.address)
        big.sendall((head + length).encode())
        sent, peak, chunk = 0, 0, b"100000\r\n" + bytes(1 << 20) + b"\r\n"
        try:
            while "chunked" in length and sent < 2 << 30:
                big.sendall(chunk)
                sent += 1 << 20
                peak = max(peak, service.memory())
        except OSError:
            pass
        try:
            said = big.recv(100)
        except ConnectionResetError:
            said = b"connection reset"
        await asyncio.sleep(0.5)
        status = said.split(b"\r")[0].decode()
        print(f"| {what} | {status} after {sent >> 20} MB; {f'{peak:.0f} MB at most, ' if sent else ''}{service.memory():.0f} MB afterwards |")
    # Many keys.
    psql("INSERT INTO ai_audio_server.keys (id, hash, role) SELECT 'k' || i, sha256(i::text::bytea), 'analyst' FROM generate_series(1, 100000) i; ANALYZE ai_audio_server.keys")
    times = []
    for _ in range(200):
        began = time.perf_counter()
        assert await alive() == 200
        times.append(1000 * (time.perf_counter() - began))
    print(f"| asks with a key among 100,000 | {quantiles(times)[0]:.1f} ms (p50), a query of the library included |")
    psql("DELETE FROM ai_audio_server.keys WHERE id LIKE 'k%' AND length(id) < 11")


async def main():
    key = subprocess.run([BINARY, "key", "create", "--role", "analyst", "--rate", "100000", "--concurrency", "1000"], env=ENVIRONMENT, check=True, capture_output=True, text=True).stdout.strip()
    service = Service("--pool-size", "2")
    try:
        await one_client(service, key)
        await many_clients(service, key)
        await misbehaving(service, key)
    finally:
        service.stop()


asyncio.run(main())
