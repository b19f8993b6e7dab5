// Loaded before dynalite: a request that it fails on is answered with status 500, and dynalite goes on.
const http = require('http')
const Module = require('module')

const open = new Set()
const createServer = http.createServer
http.createServer = (...args) => {
	const server = createServer(...args)
	server.prependListener('request', (_, response) => {
		open.add(response)
		response.on('close', () => open.delete(response))
	})
	return server
}
process.on('uncaughtException', (err) => {
	for (const response of open) {
		response.statusCode = 500
		response.end(String(err))
	}
})

// It is asked one thing at a time and needs no locks, which a request that fails would hold for ever.
const load = Module._load
Module._load = (name, ...rest) => name === 'lock' ? { Lock: () => (keys, work) => work((done) => done) } : load(name, ...rest)
