// Sends numbered messages with the official device SDK, a few at a time, and
// prints "acked N" for each as it is acknowledged, then "done".
// usage: send.js DEVICE_CONNECTION_STRING CA_FILE COUNT [PROTOCOL [PAUSE_MS [CERT KEY]]]
'use strict';
const fs = require('fs');
const { Client, Message } = require('azure-iot-device');

const protocols = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
  amqp: () => require('azure-iot-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
  http: () => require('azure-iot-device-http').Http,
};

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function message(n) {
  const m = new Message(JSON.stringify({ n }));
  m.contentType = 'application/json';
  m.contentEncoding = 'utf-8';
  m.messageId = `m${n}`;
  m.properties.add('n', String(n));
  return m;
}

async function main([connectionString, ca, count, protocol = 'mqtt', pauseMs = '0', cert, key]) {
  const client = Client.fromConnectionString(connectionString, protocols[protocol]());
  const options = { ca: fs.readFileSync(ca, 'utf8') };
  if (cert) {
    options.cert = fs.readFileSync(cert, 'utf8');
    options.key = fs.readFileSync(key, 'utf8');
  }
  const set = client.setOptions(options);
  if (protocol !== 'http') await set; // over HTTP it takes effect, and never says so
  client.on('error', (err) => console.error('client error:', err.message));
  await client.open();
  console.log('open');
  const window = 8;
  const sending = [];
  for (let n = 1; n <= Number(count); n++) {
    sending.push(client.sendEvent(message(n)).then(() => console.log('acked', n)));
    if (sending.length >= window) await sending.shift();
    if (Number(pauseMs) > 0) await pause(Number(pauseMs));
  }
  await Promise.all(sending);
  await client.close();
  console.log('done');
}

main(process.argv.slice(2)).catch((err) => {
  console.error(err);
  process.exit(1);
});
