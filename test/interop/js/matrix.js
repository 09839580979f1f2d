// Tries everything that a device does, with the official SDKs on both ends, and
// prints one line of JSON: {"telemetry": "ok", "batch": …, "command": …, "settle": …,
// "twin": …, "method": …}, where what is not ok says why. What a protocol cannot do is left out.
// usage: matrix.js SERVICE_CONNECTION_STRING DEVICE_CONNECTION_STRING CA_FILE PROTOCOL
'use strict';
const fs = require('fs');
const { Client, Message } = require('azure-iot-device');
const service = require('azure-iothub');

const protocols = {
  mqtt: () => require('azure-iot-device-mqtt').Mqtt,
  'mqtt-ws': () => require('azure-iot-device-mqtt').MqttWs,
  amqp: () => require('azure-iot-device-amqp').Amqp,
  'amqp-ws': () => require('azure-iot-device-amqp').AmqpWs,
  http: () => require('azure-iot-device-http').Http,
};

const patience = 30000;
const within = (what, promise) => Promise.race([
  promise,
  new Promise((_, fail) => setTimeout(() => fail(new Error(`${what} did not come`)), patience)),
]);
// callback turns a function that takes a callback into a promise.
const callback = (call) => new Promise((done, fail) => call((err, value) => (err ? fail(err) : done(value))));

async function main([serviceString, deviceString, ca, protocol]) {
  const id = /DeviceId=([^;]*)/.exec(deviceString)[1];
  const device = Client.fromConnectionString(deviceString, protocols[protocol]());
  const options = { ca: fs.readFileSync(ca, 'utf8') };
  if (protocol === 'http') options.http = { receivePolicy: { interval: 1 } }; // else it never says that it is done
  const model = protocol.startsWith('mqtt') ? 'dtmi:com:example:Lamp;1' : ''; // the SDK announces it over MQTT alone
  if (model !== '') options.modelId = model;
  await device.setOptions(options);
  await device.open();
  const registry = service.Registry.fromConnectionString(serviceString);
  const client = service.Client.fromConnectionString(serviceString);

  const message = (n) => {
    const m = new Message(JSON.stringify({ n }));
    m.properties.add('n', String(n));
    return m;
  };
  // Commands that have come and nobody has asked for, and those who wait for one.
  const commands = [];
  const waiting = [];
  const arrived = (m) => (waiting.length > 0 ? waiting.shift()(m) : commands.push(m));
  const next = () => within('the command', new Promise((done) => (commands.length > 0 ? done(commands.shift()) : waiting.push(done))));
  const send = async (text) => {
    const command = new (require('azure-iot-common').Message)(text);
    command.messageId = `${text} of ${id}`;
    command.properties.add('speed', 'slow');
    await client.send(id, command);
  };
  const settle = async (how, want) => {
    const m = await next();
    if (m.getData().toString() !== want) throw new Error(`received ${m.getData()}, not ${want}`);
    await device[how](m);
  };

  const tries = {
    async telemetry() {
      for (let n = 1; n <= 5; n++) await device.sendEvent(message(n));
    },
    async batch() {
      await device.sendEventBatch([6, 7, 8].map(message));
    },
    async command() {
      device.on('message', arrived);
      await client.open();
      await send('do it');
      const received = await next();
      // Over HTTPS the SDK leaves the header's prefix in the name.
      const speed = received.properties.getValue('speed') || received.properties.getValue('iothub-app-speed');
      if (received.getData().toString() !== 'do it' || speed !== 'slow') {
        throw new Error(`received ${received.getData()} with ${JSON.stringify(received.properties)}`);
      }
      await device.complete(received);
    },
    // What is abandoned comes again, what is rejected does not.
    async settle() {
      await send('abandon');
      await settle('abandon', 'abandon');
      await settle('complete', 'abandon');
      await send('reject');
      await settle('reject', 'reject');
      await send('complete');
      await settle('complete', 'complete');
    },
    async twin() {
      const twin = await callback((done) => device.getTwin(done));
      const changed = new Promise((done) => twin.on('properties.desired', (delta) => { if (delta.interval === 10) done(); }));
      await callback((done) => twin.properties.reported.update({ protocol }, done));
      await registry.updateTwin(id, { properties: { desired: { interval: 10 } } }, '*');
      await within('the desired change', changed);
      const { responseBody: seen } = await registry.getTwin(id);
      if (seen.modelId !== model) throw new Error(`the model is ${seen.modelId}`);
      if (seen.properties.reported.protocol !== protocol) throw new Error(`reported is ${JSON.stringify(seen.properties.reported)}`);
    },
    async method() {
      device.onDeviceMethod('echo', (request, response) => response.send(200, { echo: request.payload }, () => {}));
      const { result } = await callback((done) => client.invokeDeviceMethod(
        id, { methodName: 'echo', payload: { a: 1 }, connectTimeoutInSeconds: 20, responseTimeoutInSeconds: 20 },
        (err, result) => done(err, { result })));
      if (result.status !== 200 || result.payload.echo.a !== 1) throw new Error(`answered ${JSON.stringify(result)}`);
    },
  };
  if (protocol === 'http') {
    delete tries.twin;
    delete tries.method;
  }
  if (protocol !== 'http') delete tries.batch; // not implemented in the SDK
  if (protocol.startsWith('mqtt')) delete tries.settle;
  const outcome = {};
  for (const [name, attempt] of Object.entries(tries)) {
    try {
      await attempt();
      outcome[name] = 'ok';
    } catch (err) {
      outcome[name] = `${err.name}: ${err.message}`;
    }
  }
  await client.close();
  console.log(JSON.stringify(outcome));
  await device.close().catch(() => {});
  process.exit(0);
}

main(process.argv.slice(2)).catch((err) => {
  console.error(err);
  process.exit(1);
});
