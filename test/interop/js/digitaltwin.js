// Uses a device of IoT Plug and Play with the official SDKs.
//
//   node digitaltwin.js SERVICE_CONNECTION_STRING DEVICE_CONNECTION_STRING
//
// Each line of its output is a step: {"step","value"} or {"step","error"}.
'use strict';
const { Client } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');
const { DigitalTwinClient, IoTHubTokenCredentials } = require('azure-iothub');

const said = [];
const say = (line) => { said.push(line); console.log(JSON.stringify(line)); };
const step = async (name, what) => {
  try {
    say({ step: name, value: await what() });
  } catch (err) {
    say({ step: name, error: err.name, text: err.message });
  }
};
const callback = (call) => new Promise((done, fail) => call((err, value) => (err ? fail(err) : done(value))));
const withoutTimes = (value) => JSON.parse(JSON.stringify(value, (key, v) => (key === 'lastUpdateTime' || key === '_response' ? undefined : v)));

async function main([serviceString, deviceString]) {
  const id = /DeviceId=([^;]*)/.exec(deviceString)[1];
  const device = Client.fromConnectionString(deviceString, Mqtt);
  await device.setOptions({ modelId: 'dtmi:com:example:Controller;1' });
  await device.open();
  for (const name of ['reboot', 'thermostat1*getReport']) {
    device.onDeviceMethod(name, (request, response) => response.send(name === 'reboot' ? 200 : 202, { name, payload: request.payload }));
  }
  const twin = await device.getTwin();
  await callback((done) => twin.properties.reported.update({ serial: 'x1', thermostat1: { __t: 'c', max: { value: 40, ac: 200, av: 2, ad: 'set' } } }, done));
  const client = new DigitalTwinClient(new IoTHubTokenCredentials(serviceString));
  await step('get', async () => withoutTimes(await client.getDigitalTwin(id)));
  const changed = new Promise((done) => twin.on('properties.desired.thermostat1', done));
  await step('update', async () => {
    const { _response, ...rest } = await client.updateDigitalTwin(id, [{ op: 'add', path: '/thermostat1/max', value: 40 }, { op: 'add', path: '/interval', value: 5 }], '*') || {};
    return rest;
  });
  await step('the device hears', async () => changed);
  await step('get again', async () => withoutTimes(await client.getDigitalTwin(id)));
  await step('command', async () => {
    const answer = await client.invokeCommand(id, 'reboot', { delay: 5 }, { responseTimeoutInSeconds: 10 });
    return { status: answer.xMsCommandStatuscode, body: answer._response.parsedBody || answer._response.bodyAsText };
  });
  await step('command of a component', async () => {
    const answer = await client.invokeComponentCommand(id, 'thermostat1', 'getReport', 'since');
    return { status: answer.xMsCommandStatuscode, body: answer._response.parsedBody || answer._response.bodyAsText };
  });
  await step('no such device', async () => client.getDigitalTwin('nobody'));
  await device.close();
}

setTimeout(() => { console.error('it took too long after', said); process.exit(1); }, 60000).unref();
main(process.argv.slice(2)).then(() => process.exit(0), (err) => { console.error(said, err); process.exit(1); });
