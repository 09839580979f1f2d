// Calls the method "echo" of a device from a module, over HTTPS with the official
// device SDK, and prints the answer; then one of a device that is not there.
// usage: invoke.js MODULE_CONNECTION_STRING DEVICE
'use strict';
const { ModuleClient } = require('azure-iot-device');
const { Mqtt } = require('azure-iot-device-mqtt');

const [connectionString, device] = process.argv.slice(2);
const client = ModuleClient.fromConnectionString(connectionString, Mqtt);
const call = { methodName: 'echo', payload: { n: 7 }, responseTimeoutInSeconds: 10, connectTimeoutInSeconds: 0 };

async function main() {
  console.log('answer', JSON.stringify(await client.invokeMethod(device, call)));
  try {
    await client.invokeMethod('nobody', call);
  } catch (err) {
    console.log('nobody', err.constructor.name, err.response && err.response.statusCode);
  }
  process.exit(0);
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
