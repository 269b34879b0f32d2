import stompit from 'stompit'

const port = Number(process.argv[2] ?? 61613)
const connectHeaders = { 'heart-beat': '10000,10000' }

stompit.connect({ host: '127.0.0.1', port, connectHeaders }, (error, client) => {
  if (error) throw error

  client.subscribe({ destination: '/queue/orders', ack: 'client-individual' }, (error, message) => {
    if (error) throw error
    message.readString('utf-8', (error, body) => {
      if (error) throw error
      console.log('received', body)
      client.ack(message)
      client.disconnect()
    })
  })

  const order = client.send({ destination: '/queue/orders', 'content-type': 'text/plain' })
  order.end('two espressos')
})
