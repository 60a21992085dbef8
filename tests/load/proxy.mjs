// What a hub could do at the very least: check the token, swap the headers, fetch with kept connections, give the answer back.
//
// node proxy.mjs PROCESSES TABLE, TABLE = {"tokens": {"Token …": "CC/PTY"}, "receivers": {"CC/PTY": {"url", "token"}}}
// Prints one line `ready PORT` when it listens.

import cluster from 'node:cluster'
import { randomUUID } from 'node:crypto'
import http from 'node:http'

const processes = Number(process.argv[2])
const { tokens, receivers } = JSON.parse(process.argv[3])

function refuse(response, http_status, status_code, status_message) {
  const body = JSON.stringify({ status_code, status_message, timestamp: new Date().toISOString() })
  response.writeHead(http_status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
  response.end(body)
}

async function forward(request, response) {
  const sent = request.headers
  const from = tokens[sent.authorization]
  if (from === undefined) return refuse(response, 401, 2000, 'unknown token')
  if (from !== `${sent['ocpi-from-country-code']}/${sent['ocpi-from-party-id']}`) return refuse(response, 200, 2001, 'FROM')
  const to = receivers[`${sent['ocpi-to-country-code']}/${sent['ocpi-to-party-id']}`]
  if (to === undefined) return refuse(response, 200, 4001, 'unknown receiver')
  const parts = []
  for await (const part of request) parts.push(part)
  const headers = {
    authorization: to.token,
    'content-type': sent['content-type'] ?? 'application/json',
    'x-request-id': randomUUID(),
    'x-correlation-id': sent['x-correlation-id'] ?? randomUUID(),
    'ocpi-from-country-code': sent['ocpi-from-country-code'],
    'ocpi-from-party-id': sent['ocpi-from-party-id'],
    'ocpi-to-country-code': sent['ocpi-to-country-code'],
    'ocpi-to-party-id': sent['ocpi-to-party-id'],
  }
  const body = parts.length ? Buffer.concat(parts) : undefined
  const answer = await fetch(to.url + request.url, { method: request.method, headers, body })
  const content = Buffer.from(await answer.arrayBuffer())
  response.writeHead(answer.status, {
    'content-type': 'application/json',
    'content-length': content.length,
    'x-request-id': sent['x-request-id'] ?? '',
    'x-correlation-id': headers['x-correlation-id'],
  })
  response.end(content)
}

function listen(ready) {
  const server = http.createServer((request, response) => {
    forward(request, response).catch(() => refuse(response, 200, 4003, 'the receiver is away'))
  })
  server.keepAliveTimeout = 60_000
  server.listen(0, '127.0.0.1', () => ready(server.address().port))
}

function announce(port) {
  process.stdout.write(`ready ${port}\n`)
}

if (processes === 1) {
  listen(announce)
} else if (cluster.isPrimary) {
  let listening = 0
  cluster.on('listening', (_, address) => {
    listening += 1
    if (listening === processes) announce(address.port)
  })
  for (let number = 0; number < processes; number += 1) cluster.fork()
} else {
  listen(() => {})
}
