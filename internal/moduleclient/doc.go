// Package moduleclient is what a module's program starts with: who it is, its
// gateway, and proofs of both that never show it its own key.
//
//	env, err := moduleclient.FromEnvironment()
//	client, err := moduleclient.Open(ctx, env, moduleclient.Options{})
//	defer client.Close()
//	session, err := client.Connect(ctx, iot.Client{Ended: ended})
//
// The environment is that which IoT Edge gives its modules, and so does Sluice;
// the module runs on either. Tokens are signed by the workload API, with the
// module's key, or for development by the key of a connection string.
//
// # Leaves
//
// [Client.ConnectLeaf] begins the session of a device that the module speaks for,
// its leaf. The leaf's key is derived from the module's: the HMAC-SHA256 of the
// leaf's id, which is a signature of the workload API. Over AMQP, sessions of
// leaves share the module's connection, and a few more where one is full; over
// MQTT each has its own.
//
// # Sessions
//
// A session's token is replaced before it expires, as long as the session lasts.
// Nothing is reconnected here: when a session has ended its owner decides what
// comes next.
package moduleclient
