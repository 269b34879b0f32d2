import { connect } from 'manifoldmq/client'

const client = await connect(process.argv[2] ?? 'tcp://127.0.0.1:61616')
const orders = client.queue('orders.native')

await orders.send({ drink: 'espresso', count: 2 }) // resolves when it is stored

for await (const order of orders.consume()) {
  const { count, drink } = order.json()
  console.log(`ok received ${count} ${drink}`)
  await order.accept()
  break // leaving the loop closes the consumer
}

await client.close()
