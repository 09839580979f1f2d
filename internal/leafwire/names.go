// Package leafwire is what protocol translators, the identity translation module
// and the provisioning service say to each other about leaves: devices that know
// nothing of IoT Hub. It holds the names and reads and writes the messages, and
// does nothing else.
//
// # The way up
//
// A translator sends to an output, which a route leads into the identity module's
// input [Input]. Each message has the properties [LeafProperty], the leaf's id, and
// [ModuleProperty], the translator's own module id. What it is says [TypeProperty]:
//
//	(none)          telemetry of the leaf; other properties are the leaf's own
//	LeafHello       what the leaf supports: {"methods":true,"desired":true,"commands":true}
//	LeafReported    a patch of the leaf's reported properties
//	LeafResponse    the answer to a LeafMethod or LeafCommand; see [Response]
//	LeafGone        the leaf is retired: {"operation":"disable"} or "delete"
//
// # The way down
//
// The identity module sends to its output [DownOutput], which routes lead into the
// translators' inputs by the property moduleId:
//
//	LeafMethod      a direct method; answered by a LeafResponse
//	LeafCommand     a cloud-to-device message; answered by a LeafResponse
//	LeafDesired     desired properties, a patch or all of them
//	LeafState       whether the leaf is registered, and why not
//
// # The cloud
//
// The identity module sends a LeafEvent to its output [Output], which a route leads
// to the hub. The provisioning service answers by calling the module's direct
// method [CallbackMethod].
//
// The names and the messages LeafEvent and ItmCallback are those of Microsoft's
// sample "identity translation lite", whose translators and functions differ in the
// case of names and in spelling; both are read as they are found.
package leafwire

// The names of the identity module's inputs, outputs and method.
const (
	Input          = "itminput"
	Output         = "itmoutput"
	DownOutput     = "itmdown"
	CallbackMethod = "ItmCallback"
)

// The application properties. They are found in any case: the sample's own
// translator writes leafdeviceid.
const (
	LeafProperty    = "leafDeviceId"
	ModuleProperty  = "moduleId"
	TypeProperty    = "itmtype"
	methodProperty  = "methodName"
	timeoutProperty = "timeoutSecs"
	fullProperty    = "full"
	statusProperty  = "status"
	settleProperty  = "settle"
	stateProperty   = "state"
	reasonProperty  = "reason"
)

// The values of [TypeProperty].
const (
	TypeEvent    = "LeafEvent"
	TypeHello    = "LeafHello"
	TypeReported = "LeafReported"
	TypeResponse = "LeafResponse"
	TypeGone     = "LeafGone"
	TypeMethod   = "LeafMethod"
	TypeDesired  = "LeafDesired"
	TypeCommand  = "LeafCommand"
	TypeState    = "LeafState"
)
