// Sends commands with the official service SDK and prints what it hears of them.
//
//   node service.js CONNECTION_STRING
//
// With WEBSOCKET in the environment, it does so over a WebSocket.
//
// Each line of its input is {"device","message":{…}}; each of its output
// {"sent":id}, {"error","message","id"}, {"feedback":[…]} or {"ready":true}.
const { Client } = require('azure-iothub');
const { AmqpWs } = require('azure-iothub/dist/amqp_ws.js');
const { Message } = require('azure-iot-common');
const readline = require('readline');

const client = Client.fromConnectionString(process.argv[2], process.env.WEBSOCKET ? AmqpWs : undefined);
const say = (line) => console.log(JSON.stringify(line));

async function send({ device, message }) {
  const m = new Message(message.body || '');
  for (const k of ['messageId', 'correlationId', 'ack', 'contentType', 'contentEncoding']) if (message[k]) m[k] = message[k];
  if (message.expiresIn) m.expiryTimeUtc = Date.now() + 1000 * message.expiresIn; // its AMQP library takes no Date
  for (const [k, v] of Object.entries(message.properties || {})) m.properties.add(k, v);
  try {
    await client.send(device, m);
    say({ sent: message.messageId });
  } catch (err) {
    say({ error: err.name, message: err.message, id: message.messageId });
  }
}

async function main() {
  await client.open();
  const { result: feedback } = await client.getFeedbackReceiver();
  feedback.on('message', (m) => {
    say({ feedback: JSON.parse(m.getData().toString()), contentType: m.contentType });
    feedback.complete(m).catch((err) => say({ error: err.name, message: err.message, id: 'feedback' }));
  });
  const { result: files } = await client.getFileNotificationReceiver();
  files.on('message', () => say({ error: 'unexpected', message: 'a file notification' }));
  say({ ready: true });
  for await (const line of readline.createInterface({ input: process.stdin })) await send(JSON.parse(line));
  await client.close();
}

main().then(() => process.exit(0), (err) => { console.error(err); process.exit(1); });
