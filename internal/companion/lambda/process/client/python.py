"""rheo's runtime client for Python 3.8 and later.

Finds the handler, asks the Runtime API for events, gives each to the handler, and
posts what comes of it. It behaves as AWS's awslambdaric does, without native parts.

    python3 python.py file.handler
"""

import decimal
import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback

ROOT = "/2018-06-01/runtime/"


class Api:
    """The Runtime API, over one connection."""

    def __init__(self, address):
        self.host, _, port = address.rpartition(":")
        self.address = (self.host, int(port))
        self.head = "Host: %s\r\n" % address
        self.sock = None
        self.ahead = b""  # read beyond the last answer

    def call(self, method, name, headers="", body=b""):
        """Sends a request in one piece and returns its answer's status, headers and body."""
        if self.sock is None:
            self.sock = socket.create_connection(self.address)
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.ahead = b""
        request = "%s %s%s HTTP/1.1\r\n%s%sContent-Length: %d\r\n\r\n" % (method, ROOT, name, self.head, headers, len(body))
        self.sock.sendall(request.encode("latin-1") + body)
        data = self.ahead
        while True:
            end = data.find(b"\r\n\r\n")
            if end >= 0:
                break
            data += self.receive()
        lines = data[:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ", 2)[1])
        fields = {}
        for line in lines[1:]:
            key, _, value = line.partition(":")
            fields[key.strip().lower()] = value.strip()
        if "content-length" not in fields:
            raise RuntimeError("the runtime interface's answer has no length")
        data = data[end + 4 :]
        length = int(fields["content-length"])
        if len(data) < length:
            parts, have = [data], len(data)
            while have < length:
                part = self.receive()
                parts.append(part)
                have += len(part)
            data = b"".join(parts)
        self.ahead = data[length:]
        if fields.get("connection", "").lower() == "close":
            self.sock.close()
            self.sock = None
        return status, fields, data[:length]

    def receive(self):
        part = self.sock.recv(1 << 16)
        if not part:
            raise ConnectionError("the runtime interface hung up")
        return part

    def post_error(self, name, error):
        kind = error["errorType"].encode("ascii", "replace").decode("ascii")
        headers = "Content-Type: application/json\r\nLambda-Runtime-Function-Error-Type: %s\r\n" % kind
        self.call("POST", name, headers, json.dumps(error).encode("utf-8"))


class Fault(Exception):
    """An error that is named by the runtime, not by Python."""

    def __init__(self, kind, message, trace=None):
        super().__init__(message)
        self.kind, self.message, self.trace = kind, message, trace or []


def shape(error, request_id):
    """An error as callers of the function see it, and as the log has it."""
    if isinstance(error, Fault):
        kind, message, trace = error.kind, error.message, error.trace
    else:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        kind, message, trace = type(error).__name__, str(error), traceback.format_list(frames)
    return {"errorMessage": message, "errorType": kind, "requestId": request_id, "stackTrace": trace}


def log_error(error):
    text = "[ERROR] %s: %s" % (error["errorType"], error["errorMessage"])
    if error["stackTrace"]:
        text += "\nTraceback (most recent call last):\n" + "".join(error["stackTrace"]).rstrip("\n")
    print(text, flush=True)


# ---- the log


class RequestFilter(logging.Filter):
    request_id = ""

    def filter(self, record):
        record.aws_request_id = self.request_id
        return True


def set_up_logging():
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True, write_through=True)
    names = RequestFilter()
    handler = logging.StreamHandler(sys.stdout)
    formatter = logging.Formatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    handler.addFilter(names)
    logging.getLogger().addHandler(handler)
    return names


# ---- the handler


def load_handler(name):
    module_name, dot, function_name = name.rpartition(".")
    if not dot:
        raise Fault("Runtime.MalformedHandlerName", "Bad handler '%s': not enough values to unpack (expected 2, got 1)" % name)
    if module_name.split(".")[0] in sys.builtin_module_names:
        raise Fault("Runtime.BuiltInModuleConflict", "Cannot use built-in module %s as a handler module" % module_name)
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as e:
        raise Fault("Runtime.ImportModuleError", "Unable to import module '%s': %s" % (module_name, e))
    except SyntaxError as e:
        trace = ['  File "%s" Line %s\n    %s' % (e.filename, e.lineno, (e.text or "").strip())]
        raise Fault("Runtime.UserCodeSyntaxError", "Syntax error in module '%s': %s" % (module_name, e), trace)
    try:
        return getattr(module, function_name)
    except AttributeError:
        raise Fault("Runtime.HandlerNotFound", "Handler '%s' missing on module '%s'" % (function_name, module_name))


class Record:
    """Values by name, and whatever else was sent."""

    def __init__(self, **values):
        self.__dict__.update(values)

    def __repr__(self):
        return "%s([%s])" % (type(self).__name__, ",".join("%s=%r" % kv for kv in self.__dict__.items()))


class Client(Record):
    pass


class ClientContext(Record):
    pass


class CognitoIdentity(Record):
    pass


class LambdaContext:
    def __init__(self, fields):
        env = os.environ
        self.aws_request_id = fields.get("lambda-runtime-aws-request-id")
        self.log_group_name = env.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = env.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = env.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = env.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = fields.get("lambda-runtime-invoked-function-arn")
        self.tenant_id = None
        self.client_context = client_context(fields.get("lambda-runtime-client-context"))
        self.identity = CognitoIdentity(cognito_identity_id=None, cognito_identity_pool_id=None)
        self._epoch_deadline_time_in_ms = int(fields.get("lambda-runtime-deadline-ms", "0"))

    def get_remaining_time_in_millis(self):
        return max(self._epoch_deadline_time_in_ms - int(time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))

    def __repr__(self):
        return "LambdaContext([%s])" % ",".join("%s=%s" % kv for kv in self.__dict__.items() if kv[0][0] != "_")


def client_context(text):
    if not text:
        return None
    values = json.loads(text)
    client = values.get("client")
    names = ("installation_id", "app_title", "app_version_name", "app_version_code", "app_package_name")
    return ClientContext(
        client=Client(**{n: client.get(n) for n in names}) if client else None,
        custom=values.get("custom"),
        env=values.get("env"),
    )


def plain(value):
    """What json cannot say by itself: decimals are numbers, as awslambdaric has them."""
    if isinstance(value, decimal.Decimal):
        return float(value) if value % 1 else int(value)
    raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)


def serve(api, handler, names, fields, body):
    request_id = fields["lambda-runtime-aws-request-id"]
    names.request_id = request_id
    if "lambda-runtime-trace-id" in fields:
        os.environ["_X_AMZN_TRACE_ID"] = fields["lambda-runtime-trace-id"]
    else:
        os.environ.pop("_X_AMZN_TRACE_ID", None)
    at = "invocation/%s/" % request_id
    try:
        try:
            event = json.loads(body)
        except ValueError as e:
            raise Fault("Runtime.UnmarshalError", "Unable to unmarshal input: %s" % e)
        value = handler(event, LambdaContext(fields))
        try:
            answer = json.dumps(value, ensure_ascii=False, default=plain).encode("utf-8")
        except (TypeError, ValueError, UnicodeError) as e:
            raise Fault("Runtime.MarshalError", "Unable to marshal response: %s" % e)
    except Exception as e:
        error = shape(e, request_id)
        log_error(error)
        api.post_error(at + "error", error)
        return
    sys.stdout.flush()
    api.call("POST", at + "response", "Content-Type: application/json\r\n", answer)


def main():
    names = set_up_logging()
    api = Api(os.environ["AWS_LAMBDA_RUNTIME_API"])
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    for extra in ("/opt/python/lib/python%d.%d/site-packages" % sys.version_info[:2], "/opt/python"):
        sys.path.append(extra)
    try:
        handler = load_handler(sys.argv[1] if len(sys.argv) > 1 else os.environ["_HANDLER"])
    except Exception as e:
        error = shape(e, "")
        log_error(error)
        api.post_error("init/error", error)
        sys.exit(1)
    while True:
        status, fields, body = api.call("GET", "invocation/next")
        if status != 200:
            print("the runtime interface answered %d: %s" % (status, body.decode("utf-8", "replace")), flush=True)
            sys.exit(1)
        serve(api, handler, names, fields, body)


main()
