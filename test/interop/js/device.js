// A device or module that does everything with the official SDK, and says what it
// hears: commands are settled as their text says (complete, abandon once, reject),
// the method "echo" is answered with its payload, desired properties are reported.
// usage: device.js CONNECTION_STRING CA_FILE PROTOCOL [CERT KEY]
'use strict';
const fs = require('fs');
const { Client, ModuleClient } = require('azure-iot-device');

const protocols = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  amqp: () => require('azure-iot-device-amqp').Amqp,
};

const later = (f) => new Promise((resolve, reject) => f((err, result) => (err ? reject(err) : resolve(result))));
const say = (...words) => console.log(...words);

async function main([connectionString, ca, protocol, cert, key]) {
  const isModule = /;ModuleId=/.test(connectionString);
  const client = (isModule ? ModuleClient : Client).fromConnectionString(connectionString, protocols[protocol]());
  const options = { ca: fs.readFileSync(ca, 'utf8') };
  if (cert) {
    options.cert = fs.readFileSync(cert, 'utf8');
    options.key = fs.readFileSync(key, 'utf8');
  }
  await client.setOptions(options);
  client.on('error', (err) => say('error', err.name, err.message));
  client.on('disconnect', (err) => say('disconnect', err && (err.transportObj ? err.transportObj.name : err.name)));
  await client.open();
  say('open');

  const abandoned = new Set();
  if (!isModule) {
    client.on('message', (msg) => {
      const text = msg.getData().toString();
      say('command', text, msg.messageId, msg.properties.propertyList.map((p) => `${p.key}=${p.value}`).join());
      if (text === 'reject') return client.reject(msg, () => say('rejected'));
      if (text === 'abandon' && !abandoned.has(msg.messageId)) {
        abandoned.add(msg.messageId);
        return client.abandon(msg, () => say('abandoned'));
      }
      client.complete(msg, () => say('completed'));
    });
  }
  const onMethod = (isModule ? client.onMethod : client.onDeviceMethod).bind(client);
  onMethod('echo', (request, response) => {
    say('method', request.methodName, JSON.stringify(request.payload));
    response.send(200, { echo: request.payload }, (err) => say('answered', err ? err.message : ''));
  });
  const twin = await later((done) => client.getTwin(done));
  say('twin', JSON.stringify(twin.properties.desired));
  twin.on('properties.desired', (delta) => say('desired', JSON.stringify(delta)));
  await later((done) => twin.properties.reported.update({ ready: true, nothing: null }, done));
  say('reported');
  say('listening');

  process.stdin.on('data', () => client.close(() => { say('closed'); process.exit(0); }));
}

main(process.argv.slice(2)).catch((err) => {
  say('failed', err.name, err.message);
  process.exit(1);
});
