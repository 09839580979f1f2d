// A module as Microsoft documents it: it knows nothing but its environment. It
// sends, answers the method "echo", reports, and says what it does.
// usage: module.js PROTOCOL, with IOTEDGE_* set
'use strict';
const { ModuleClient, Message } = require('azure-iot-device');

const protocols = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  amqp: () => require('azure-iot-device-amqp').Amqp,
};
const later = (f) => new Promise((resolve, reject) => f((err, result) => (err ? reject(err) : resolve(result))));
const say = (...words) => console.log(...words);

async function main([protocol]) {
  const client = await ModuleClient.fromEnvironment(protocols[protocol]());
  client.on('error', (err) => say('error', err.name, err.message));
  await client.open();
  say('open', protocol);
  client.onMethod('echo', (request, response) => {
    response.send(200, { echo: request.payload }, (err) => say('answered', err ? err.message : ''));
  });
  const twin = await client.getTwin();
  say('desired', JSON.stringify(twin.properties.desired));
  await later((done) => twin.properties.reported.update({ greeting: process.env.GREETING }, done));
  process.on('SIGTERM', async () => {
    await client.sendOutputEvent('out', new Message('bye')); // the gateway still takes it
    say('acknowledged: bye');
    process.exit(0);
  });
  const message = new Message(JSON.stringify({ from: process.env.IOTEDGE_MODULEID }));
  message.messageId = 'm1';
  await client.sendOutputEvent('out', message);
  say('sent');
}

main(process.argv.slice(2)).catch((err) => {
  say('failed', err.name, err.message, err.stack);
  process.exit(1);
});
