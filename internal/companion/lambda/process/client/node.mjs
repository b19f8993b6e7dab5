// rheo's runtime client for Node.js 18 and later: finds the handler, asks the Runtime
// API for events, gives each to the handler, and posts what comes of it. It behaves as
// AWS's aws-lambda-ric does, without native parts.
//
//   node node.mjs file.handler

import fs from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import path from 'node:path';
import util from 'node:util';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Writable } from 'node:stream';

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const root = '/2018-06-01/runtime/';
const streams = new http.Agent({ keepAlive: true, maxSockets: 1 });

// ---- the Runtime API

// One connection, one call at a time. node:http does it too, at thrice the cost. While no
// call waits, the connection does not keep the process from being idle.
let socket;
let pending; // { resolve, reject, parts, have, head } of the call that waits

function connect() {
  socket = net.connect(Number(port), host);
  socket.setNoDelay(true);
  socket.on('data', (part) => {
    if (!pending) return socket.destroy(); // nobody asked
    pending.parts.push(part);
    pending.have += part.length;
    finish();
  });
  const lost = (error) => {
    socket = undefined;
    const call = pending;
    pending = undefined;
    call?.reject(error instanceof Error ? error : new Error('the runtime interface hung up'));
  };
  socket.on('error', lost);
  socket.on('close', lost);
}

// finish settles the waiting call when its answer is whole.
function finish() {
  const call = pending;
  if (!call.head) {
    const all = call.parts.length === 1 ? call.parts[0] : Buffer.concat(call.parts);
    const end = all.indexOf('\r\n\r\n');
    if (end < 0) {
      call.parts = [all];
      return;
    }
    const lines = all.latin1Slice(0, end).split('\r\n');
    const headers = {};
    for (const line of lines.slice(1)) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    call.head = { status: Number(lines[0].split(' ')[1]), headers, length: Number(headers['content-length']) };
    call.parts = [all.subarray(end + 4)];
    call.have = call.parts[0].length;
  }
  if (!(call.have < call.head.length)) {
    pending = undefined;
    socket.unref();
    if (call.head.headers.connection === 'close') {
      socket.destroy();
      socket = undefined;
    }
    const { status, headers } = call.head;
    call.resolve({ status, headers, body: call.parts.length === 1 ? call.parts[0] : Buffer.concat(call.parts) });
  }
}

function call(method, name, headers, body) {
  return new Promise((resolve, reject) => {
    let head = `${method} ${root}${name} HTTP/1.1\r\nHost: ${host}:${port}\r\n`;
    for (const [key, value] of Object.entries(headers)) head += `${key}: ${value}\r\n`;
    if (!socket) connect();
    pending = { resolve, reject, parts: [], have: 0, head: undefined };
    socket.ref();
    const bytes = Buffer.from(head + '\r\n', 'latin1');
    socket.write(body ? Buffer.concat([bytes, body]) : bytes);
  });
}

function post(name, body, headers) {
  const bytes = Buffer.from(body, 'utf8');
  return call('POST', name, { 'Content-Type': 'application/json', 'Content-Length': bytes.length, ...headers }, bytes);
}

// shape is an error as callers of the function see it.
function shape(error) {
  if (error && (util.types.isNativeError(error) || (typeof error === 'object' && error.name && error.message && error.stack))) {
    return { errorType: String(error.name), errorMessage: String(error.message), trace: String(error.stack).split('\n') };
  }
  return { errorType: typeof error, errorMessage: String(error), trace: [] };
}

function postError(name, error) {
  const s = shape(error);
  return post(name, JSON.stringify(s), { 'Lambda-Runtime-Function-Error-Type': encodeURIComponent(s.errorType) });
}

// ---- the log: a line for each message, with its time, request and level

let requestId;

function logging() {
  const write = (level, args) => {
    const text = util.format(...args).replace(/\n/g, '\r');
    fs.writeSync(1, `${new Date().toISOString()}\t${requestId}\t${level}\t${text}\n`);
  };
  // What does not fit into the pipe at once is written again.
  const safely = (level) => (...args) => {
    for (;;) {
      try {
        return write(level, args);
      } catch (e) {
        if (e.code !== 'EAGAIN') throw e;
      }
    }
  };
  console.log = safely('INFO');
  console.info = safely('INFO');
  console.debug = safely('DEBUG');
  console.warn = safely('WARN');
  console.error = safely('ERROR');
  console.trace = safely('TRACE');
}

function logError(what, error) {
  const s = shape(error);
  const own = error && typeof error === 'object' ? { ...error } : {};
  console.error(`${what} \t${JSON.stringify({ errorType: s.errorType, errorMessage: s.errorMessage, ...own, stack: s.trace }, safeValues())}`);
}

// safeValues leaves out what JSON cannot say.
function safeValues() {
  const seen = new WeakSet();
  return (_, value) => {
    if (typeof value === 'bigint') return String(value);
    if (typeof value === 'object' && value !== null) {
      if (seen.has(value)) return undefined;
      seen.add(value);
    }
    return value;
  };
}

// ---- finding the handler

function named(name, message) {
  const e = new Error(message);
  e.name = name;
  return e;
}

async function loadHandler(taskRoot, full) {
  if (full.includes('..')) throw named('Runtime.MalformedHandlerName', `'${full}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.`);
  const base = path.basename(full);
  const dir = full.slice(0, full.length - base.length);
  const match = /^([^.]*)\.(.*)$/.exec(base);
  if (!match) throw named('Runtime.MalformedHandlerName', 'Bad handler');
  const module = await loadModule(taskRoot, dir, match[1]);
  const handler = match[2].split('.').reduce((object, key) => (object ? object[key] : undefined), module);
  if (!handler) throw named('Runtime.HandlerNotFound', `${full} is undefined or not exported`);
  if (typeof handler !== 'function') throw named('Runtime.HandlerNotFound', `${full} is not a function`);
  const major = Number(/nodejs(\d+)/.exec(process.env.AWS_EXECUTION_ENV || '')?.[1] || 0);
  if (major >= 24 && handler.length > 2 && !handler[streaming]) {
    throw named('Runtime.CallbackHandlerDeprecated', 'Handlers with a callback are not supported from Node.js 24 on: return a value or a promise');
  }
  return handler;
}

async function loadModule(taskRoot, dir, name) {
  const require = createRequire(path.join(taskRoot, 'x.js'));
  const at = path.resolve(taskRoot, dir, name);
  try {
    if (isFile(at)) return require(at);
    if (isFile(at + '.js')) return isModule(at + '.js') ? await import(pathToFileURL(at + '.js')) : require(at + '.js');
    if (isFile(at + '.mjs')) return await import(pathToFileURL(at + '.mjs'));
    if (isFile(at + '.cjs')) return require(at + '.cjs');
    return require(require.resolve(dir + name, { paths: [taskRoot, path.join(taskRoot, dir)] }));
  } catch (e) {
    if (e instanceof SyntaxError) throw named('Runtime.UserCodeSyntaxError', String(e));
    if (e && (e.code === 'MODULE_NOT_FOUND' || e.code === 'ERR_MODULE_NOT_FOUND')) throw named('Runtime.ImportModuleError', String(e));
    throw e;
  }
}

const isFile = (name) => fs.statSync(name, { throwIfNoEntry: false })?.isFile() ?? false;

// isModule tells whether a .js file is an ES module, by the nearest package.json.
function isModule(file) {
  for (let dir = path.dirname(file); ; dir = path.dirname(dir)) {
    const name = path.join(dir, 'package.json');
    if (isFile(name)) {
      try {
        return JSON.parse(fs.readFileSync(name, 'utf8')).type === 'module';
      } catch (e) {
        console.warn(`cannot read ${name}, so its directory is CommonJS: ${e}`);
        return false;
      }
    }
    if (dir === path.dirname(dir) || path.basename(dir) === 'node_modules') return false;
  }
}

// ---- handlers that stream their answer

const streaming = Symbol('streaming');

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[streaming] = options ?? {};
    return handler;
  },
  HttpResponseStream: {
    from(stream, prelude) {
      stream.setContentType('application/vnd.awslambda.http-integration-response');
      stream.write(JSON.stringify(prelude));
      stream.write(Buffer.alloc(8));
      return stream;
    },
  },
};

class ResponseStream extends Writable {
  constructor(id) {
    super();
    this.id = id;
    this.type = 'application/octet-stream';
    this.sent = new Promise((resolve, reject) => Object.assign(this, { resolve, reject }));
    this.sent.catch(() => {});
  }
  setContentType(type) {
    this.type = type;
  }
  open() {
    if (this.request) return this.request;
    this.request = http.request({
      agent: streams, host, port, method: 'POST', path: `${root}invocation/${this.id}/response`,
      headers: {
        'Content-Type': this.type, 'Transfer-Encoding': 'chunked', 'Lambda-Runtime-Function-Response-Mode': 'streaming',
        Trailer: 'Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body',
      },
    }, (response) => response.resume().on('end', this.resolve));
    this.request.on('error', this.reject);
    return this.request;
  }
  _write(chunk, encoding, done) {
    this.open().write(chunk, encoding, done);
  }
  _final(done) {
    this.open().end(done);
  }
  fail(error) {
    if (!this.request) return false;
    const s = shape(error);
    this.request.addTrailers({
      'Lambda-Runtime-Function-Error-Type': encodeURIComponent(s.errorType),
      'Lambda-Runtime-Function-Error-Body': Buffer.from(JSON.stringify(s)).toString('base64'),
    });
    this.request.end();
    return true;
  }
}

// ---- one event

// whenIdle is called when nothing is left to do while a handler owes its answer: the answer
// is null then, also of a promise that nobody will keep.
let whenIdle = () => {};
process.on('beforeExit', () => whenIdle());

// outcome is what the handler's promise or callback says.
function outcome(handler, event, context) {
  return new Promise((resolve, reject) => {
    const settle = (error, value) => {
      if (error !== undefined && error !== null) return reject(error);
      if (!context.callbackWaitsForEmptyEventLoop) return resolve(value);
      whenIdle = () => resolve(value);
    };
    whenIdle = () => resolve(null);
    context.done = settle;
    context.fail = (error) => settle(error === undefined || error === null ? 'handled' : error);
    context.succeed = (value) => settle(null, value);
    const returned = handler(event, context, settle);
    if (returned && typeof returned.then === 'function') returned.then(resolve, reject);
  }).finally(() => {
    whenIdle = () => {};
  });
}

function contextOf(headers) {
  const parse = (text) => (text ? JSON.parse(text) : undefined);
  const deadline = Number(headers['lambda-runtime-deadline-ms']);
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse(headers['lambda-runtime-client-context']),
    identity: parse(headers['lambda-runtime-cognito-identity']),
    invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
    awsRequestId: headers['lambda-runtime-aws-request-id'],
    getRemainingTimeInMillis: () => deadline - Date.now(),
  };
}

async function serve(handler, { headers, body }) {
  requestId = headers['lambda-runtime-aws-request-id'];
  if (headers['lambda-runtime-trace-id']) process.env._X_AMZN_TRACE_ID = headers['lambda-runtime-trace-id'];
  else delete process.env._X_AMZN_TRACE_ID;
  const at = `invocation/${requestId}/`;
  let stream;
  try {
    const event = JSON.parse(body.toString('utf8'));
    const context = contextOf(headers);
    if (handler[streaming]) {
      stream = new ResponseStream(requestId);
      await handler(event, stream, context);
      if (!stream.writableEnded) throw named('Runtime.StreamError', 'The handler returned before it ended its response stream');
      await stream.sent;
      return;
    }
    const value = await outcome(handler, event, context);
    let text;
    try {
      text = JSON.stringify(value === undefined ? null : value);
    } catch {
      throw new Error('Unable to stringify response body');
    }
    await post(at + 'response', text === undefined ? 'null' : text);
  } catch (error) {
    logError('Invoke Error', error);
    if (stream?.fail(error)) await stream.sent;
    else await postError(at + 'error', error);
  }
}

// ---- from start to end

let serving = false;

// fatal is the end for an error that nobody caught.
async function fatal(what, error, status) {
  logError(what, error);
  if (pending) {
    // An event was being waited for: its answer is of no use to us any more.
    socket.removeAllListeners();
    socket.destroy();
    socket = undefined;
    pending = undefined;
  }
  try {
    await postError(serving && requestId ? `invocation/${requestId}/error` : 'init/error', error);
  } finally {
    process.exit(status);
  }
}

process.on('uncaughtException', (error) => fatal('Uncaught Exception', error, 129));
process.on('unhandledRejection', (reason) => {
  const e = named('Runtime.UnhandledPromiseRejection', String(reason));
  e.reason = reason;
  if (reason && reason.stack) e.stack = `Runtime.UnhandledPromiseRejection: ${reason.stack}`;
  fatal('Unhandled Promise Rejection', e, 128);
});

logging();
const [, , handlerName = process.env._HANDLER] = process.argv;
let handler;
try {
  handler = await loadHandler(process.env.LAMBDA_TASK_ROOT, handlerName);
} catch (error) {
  logError('Uncaught Exception', error);
  await postError('init/error', error);
  process.exit(1);
}
serving = true;
for (;;) {
  const event = await call('GET', 'invocation/next', {});
  if (event.status !== 200) {
    console.error(`the runtime interface answered ${event.status}: ${event.body}`);
    process.exit(1);
  }
  await serve(handler, event);
}
