import stompit from 'stompit'

/** The program under test: makes an invoice of every order, and refuses those without a price. */
export function startWorker(url) {
  const { hostname: host, port } = new URL(url)
  return new Promise((resolve, reject) => {
    stompit.connect({ host, port }, (error, client) => {
      if (error) return reject(error)
      // A worker would connect again; this one ends with its connection.
      client.on('error', () => client.destroy())
      client.subscribe({ destination: '/queue/orders', ack: 'client-individual' }, (error, message) => {
        if (error) return
        message.readString('utf-8', (_error, body) => {
          const { id, price } = JSON.parse(body)
          if (price === undefined) return client.nack(message)
          const headers = { destination: '/queue/invoices', 'content-type': 'application/json' }
          client.send(headers).end(JSON.stringify({ order: id, total: price * 1.19 }))
          client.ack(message)
        })
      })
      resolve(client)
    })
  })
}
