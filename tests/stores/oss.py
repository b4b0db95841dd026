"""oss.py: an OSS server on loopback for tests, with one bucket `calls` in memory. It prints its port.

It knows the keys below, and rebuilds the Authorization of each request with Alibaba Cloud's own SDK; of requests in S3's way
with Amazon's (botocore). First parts of keys that misbehave: busy/ (every other request 503), cut/ (a body ends in the middle),
away/ (a redirect to another host), here/ (a redirect to the same host), slow/ (all parts but the first stay away), late/ (as
if the clock differed by an hour), expired/ (as if the token had expired). 2GB.wav is silence. POST /KEY puts an object without a signature. GET /log tells what was asked, and how many bytes were sent.
"""

import datetime
import hashlib
import json
import re
import struct
import time
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

from alibabacloud_oss_v2.credentials import Credentials
from alibabacloud_oss_v2.signer import SignerV1, SignerV4
from alibabacloud_oss_v2.types import HttpRequest, SigningContext
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as AmazonCredentials

BUCKET = "calls"
# AccessKey ID: its secret, and the token that it needs.
KEYS = {"AKPLAIN": ("SKPLAIN-hush", None), "STS.AKTEMP": ("SKTEMP-hush", "TOKEN-hush")}
objects = {}


class Zeros:
    """A WAV file of silence, 44.1 kHz, stereo, 16 bits, that takes no memory."""

    def __init__(self, size):
        self.size = size
        self.head = b"RIFF" + struct.pack("<I", size - 8) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 2, 44100, 176400, 4, 16) + b"data" + struct.pack("<I", size - 44)

    def __len__(self):
        return self.size

    def __getitem__(self, part):
        first, last, _ = part.indices(self.size)
        return (self.head[first:last] + bytes(last - max(first, 44)))[: last - first]


log = []
counts = {}


class Refused(Exception):
    def __init__(self, status, code, message):
        self.status, self.code, self.message = status, code, message


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/log":
            return self.send(200, json.dumps(log).encode())
        self.handle_one(self.get)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        objects[unquote(self.path[1:])] = (body, datetime.datetime.now(datetime.timezone.utc), None)
        self.send(200, b"")

    def do_PUT(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.handle_one(lambda key, query: self.put(key, body))

    def handle_one(self, answer):
        url = urlsplit(self.path)
        bucket, _, key = unquote(url.path).lstrip("/").partition("/")
        entry = {"method": self.command, "key": key, "range": self.headers.get("Range"), "sent": 0, "signed": None}
        log.append(entry)
        try:
            if bucket != BUCKET:
                raise Refused(404, "NoSuchBucket", "The specified bucket does not exist.")
            query = dict(parse_qsl(url.query, keep_blank_values=True))
            entry["signed"] = self.check(bucket, key, query)
            self.misbehave(key)
            entry["sent"] = answer(key, query)
        except Refused as refused:
            self.send(refused.status, (
                '<?xml version="1.0" encoding="UTF-8"?><Error>'
                f"<Code>{refused.code}</Code><Message>{escape(refused.message)}</Message><RequestId>1</RequestId></Error>").encode())

    def check(self, bucket, key, query):
        """Which signature it is, if it is right."""
        given = self.headers.get("Authorization", "")
        if given.startswith("AWS4-HMAC-SHA256 "):
            return self.check_amazon(given)
        request = HttpRequest(self.command, f"http://{self.headers['Host']}{self.path}")
        context = SigningContext(product="oss", bucket=bucket, key=key or None, request=request)
        names = [n for n in self.headers.keys() if n.lower().startswith("x-oss-") or n.lower() in ("content-type", "content-md5")]
        if given.startswith("OSS4-HMAC-SHA256 "):
            found = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
            ak, _, context.region, _, _ = found["Credential"].split("/")
            extra = [name for name in found.get("AdditionalHeaders", "").split(";") if name]
            context.additional_headers = set(extra)
            context.signing_time = datetime.datetime.strptime(self.headers["x-oss-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
            signer, signature, token, version, names = SignerV4(), found["Signature"], self.headers.get("x-oss-security-token"), "v4", names + extra
        elif given.startswith("OSS "):
            ak, _, signature = given[4:].partition(":")
            context.signing_time = parsedate_to_datetime(self.headers["Date"])
            signer, token, version = SignerV1(), self.headers.get("x-oss-security-token"), "v1"
        elif "x-oss-signature" in query:
            context.auth_method_query = True
            ak, _, context.region, _, _ = query["x-oss-credential"].split("/")
            context.additional_headers = set(query.get("x-oss-additional-headers", "").split(";"))
            context.signing_time = datetime.datetime.strptime(query["x-oss-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
            context.expiration_time = context.signing_time + datetime.timedelta(seconds=int(query["x-oss-expires"]))
            request.url = re.sub(r"[?&]x-oss-signature=[^&]*", "", request.url)
            names, signer, signature, token, version = ["host"], SignerV4(), query["x-oss-signature"], query.get("x-oss-security-token"), "v4 query"
        elif "Signature" in query:
            context.auth_method_query = True
            ak = query["OSSAccessKeyId"]
            context.expiration_time = datetime.datetime.fromtimestamp(int(query["Expires"]), datetime.timezone.utc)
            request.url = re.sub(r"&?Signature=[^&]*", "", request.url)
            signer, signature, token, version, names = SignerV1(), query["Signature"], query.get("security-token"), "v1 query", []
        else:
            raise Refused(403, "AccessDenied", "You have no right to access this object because of bucket acl.")
        if ak not in KEYS:
            raise Refused(403, "InvalidAccessKeyId", f"The OSS Access Key Id you provided does not exist in our records: {ak}.")
        secret, wanted = KEYS[ak]
        if wanted and token != wanted:
            raise Refused(403, "InvalidSecurityToken", f"The security token you provided is invalid: {token}.")
        for name in names:
            request.headers[name.lower()] = self.headers[name]
        # The token is among the headers already; in a query the SDK must put it.
        context.credentials = Credentials(ak, secret, token if context.auth_method_query else None)
        signer.sign(context)
        if context.auth_method_query:
            expected = unquote(request.url.rsplit("ignature=", 1)[1])
        else:
            expected = re.split("Signature=|:", request.headers["Authorization"])[-1]
        if expected != signature:
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
        return version + (" token" if token else "")

    def check_amazon(self, given):
        found = dict(part.strip().split("=", 1) for part in given.split(" ", 1)[1].split(","))
        ak, _, region, _, _ = found["Credential"].split("/")
        if ak not in KEYS:
            raise Refused(403, "InvalidAccessKeyId", f"The AWS Access Key Id you provided does not exist in our records: {ak}.")
        secret, wanted = KEYS[ak]
        signed = found["SignedHeaders"].split(";")
        token = self.headers["x-amz-security-token"] if "x-amz-security-token" in signed else None
        if wanted and token != wanted:
            raise Refused(400, "InvalidToken", f"The provided token is malformed or otherwise invalid: {token}.")
        headers = {name: self.headers[name] for name in signed if name != "host"}
        request = AWSRequest(self.command, f"http://{self.headers['Host']}{self.path}", headers)
        request.context["timestamp"] = self.headers["x-amz-date"]
        signer = S3SigV4Auth(AmazonCredentials(ak, secret, token), "s3", region)
        text = signer.string_to_sign(request, signer.canonical_request(request))
        if signer.signature(text, request) != found["Signature"]:
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided.")
        return "aws4" + (" token" if token else "")

    def misbehave(self, key):
        kind = key.split("/")[0]
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "busy" and counts[kind] % 2:
            raise Refused(503, "ServiceUnavailable", "Please reduce your request rate.")
        if kind == "late":
            raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and the current time is too large.")
        if kind == "expired":
            raise Refused(403, "SecurityTokenExpired", "The security token you provided has expired.")

    def put(self, key, body):
        objects[key] = (body, datetime.datetime.now(datetime.timezone.utc), self.headers.get("Content-Type"))
        self.send(200, b"", {"ETag": etag(body)})
        return 0

    def get(self, key, query):
        if not key:
            return self.list(query)
        if key.startswith("away/"):
            return self.send(307, b"", {"Location": f"http://localhost:{self.server.server_port}{self.path}"})
        if key.startswith("here/"):
            return self.send(307, b"", {"Location": self.path.replace("here/", "", 1)})
        if key not in objects:
            raise Refused(404, "NoSuchKey", "The specified key does not exist.")
        body, modified, kind = objects[key]
        headers = {"ETag": etag(body), "Content-Type": kind or "application/octet-stream", "Last-Modified": formatdate(modified.timestamp(), usegmt=True)}
        status, part = 200, body
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        if found:
            first, last = int(found[1]), min(int(found[2] or len(body)), len(body) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(body)}"
            status, part = 206, body[first : last + 1]
            if key.startswith("slow/") and first:
                time.sleep(60)
        return self.send(status, part, headers, key.startswith("cut/"))

    def list(self, query):
        after = query.get("continuation-token", "")
        names = sorted(k for k in objects if k.startswith(query.get("prefix", "")) and k > after)
        page = names[: int(query.get("max-keys", 100))]
        more = len(names) > len(page)
        rows = "".join(
            f"<Contents><Key>{escape(k)}</Key><LastModified>{objects[k][1]:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>{escape(etag(objects[k][0]))}</ETag><Type>Normal</Type><Size>{len(objects[k][0])}</Size></Contents>" for k in page)
        token = f"<NextContinuationToken>{escape(page[-1])}</NextContinuationToken>" if more else ""
        return self.send(200, (
            f'<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>{BUCKET}</Name><Prefix></Prefix>'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}{rows}</ListBucketResult>").encode())

    def send(self, status, body, headers=None, cut=False):
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if cut:
            body = body[: len(body) // 2] if len(body) > 1_000_000 else body
            self.close_connection = True
        self.wfile.write(body)
        return len(body)


def etag(body):
    if isinstance(body, Zeros):
        return '"zeros"'
    return f'"{hashlib.md5(body).hexdigest()}"'


objects["2GB.wav"] = (Zeros(2 << 30), datetime.datetime.now(datetime.timezone.utc), "audio/wav")
server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(server.server_port, flush=True)
server.serve_forever()
