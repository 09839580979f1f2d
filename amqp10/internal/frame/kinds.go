package frame

// kind names a composite type and its fields, for descriptors in symbolic form
// and for printing.
type kind struct {
	symbol string // without "amqp:"
	fields []string
}

var kinds = map[uint64]kind{
	CodeOpen:        {"open:list", []string{"container-id", "hostname", "max-frame-size", "channel-max", "idle-time-out", "outgoing-locales", "incoming-locales", "offered-capabilities", "desired-capabilities", "properties"}},
	CodeBegin:       {"begin:list", []string{"remote-channel", "next-outgoing-id", "incoming-window", "outgoing-window", "handle-max", "offered-capabilities", "desired-capabilities", "properties"}},
	CodeAttach:      {"attach:list", []string{"name", "handle", "role", "snd-settle-mode", "rcv-settle-mode", "source", "target", "unsettled", "incomplete-unsettled", "initial-delivery-count", "max-message-size", "offered-capabilities", "desired-capabilities", "properties"}},
	CodeFlow:        {"flow:list", []string{"next-incoming-id", "incoming-window", "next-outgoing-id", "outgoing-window", "handle", "delivery-count", "link-credit", "available", "drain", "echo", "properties"}},
	CodeTransfer:    {"transfer:list", []string{"handle", "delivery-id", "delivery-tag", "message-format", "settled", "more", "rcv-settle-mode", "state", "resume", "aborted", "batchable"}},
	CodeDisposition: {"disposition:list", []string{"role", "first", "last", "settled", "state", "batchable"}},
	CodeDetach:      {"detach:list", []string{"handle", "closed", "error"}},
	CodeEnd:         {"end:list", []string{"error"}},
	CodeClose:       {"close:list", []string{"error"}},
	CodeError:       {"error:list", []string{"condition", "description", "info"}},

	CodeReceived: {"received:list", []string{"section-number", "section-offset"}},
	CodeAccepted: {"accepted:list", nil},
	CodeRejected: {"rejected:list", []string{"error"}},
	CodeReleased: {"released:list", nil},
	CodeModified: {"modified:list", []string{"delivery-failed", "undeliverable-here", "message-annotations"}},
	CodeSource:   {"source:list", []string{"address", "durable", "expiry-policy", "timeout", "dynamic", "dynamic-node-properties", "distribution-mode", "filter", "default-outcome", "outcomes", "capabilities"}},
	CodeTarget:   {"target:list", []string{"address", "durable", "expiry-policy", "timeout", "dynamic", "dynamic-node-properties", "capabilities"}},

	CodeDeleteOnClose:             {"delete-on-close:list", nil},
	CodeDeleteOnNoLinks:           {"delete-on-no-links:list", nil},
	CodeDeleteOnNoMessages:        {"delete-on-no-messages:list", nil},
	CodeDeleteOnNoLinksOrMessages: {"delete-on-no-links-or-messages:list", nil},

	CodeCoordinator:        {"coordinator:list", []string{"capabilities"}},
	CodeTransactionalState: {"transactional-state:list", []string{"txn-id", "outcome"}},

	CodeMechanisms: {"sasl-mechanisms:list", []string{"sasl-server-mechanisms"}},
	CodeInit:       {"sasl-init:list", []string{"mechanism", "initial-response", "hostname"}},
	CodeChallenge:  {"sasl-challenge:list", []string{"challenge"}},
	CodeResponse:   {"sasl-response:list", []string{"response"}},
	CodeOutcome:    {"sasl-outcome:list", []string{"code", "additional-data"}},

	CodeHeader:                {"header:list", []string{"durable", "priority", "ttl", "first-acquirer", "delivery-count"}},
	CodeDeliveryAnnotations:   {"delivery-annotations:map", nil},
	CodeMessageAnnotations:    {"message-annotations:map", nil},
	CodeProperties:            {"properties:list", []string{"message-id", "user-id", "to", "subject", "reply-to", "correlation-id", "content-type", "content-encoding", "absolute-expiry-time", "creation-time", "group-id", "group-sequence", "reply-to-group-id"}},
	CodeApplicationProperties: {"application-properties:map", nil},
	CodeData:                  {"data:binary", nil},
	CodeSequence:              {"amqp-sequence:list", nil},
	CodeValue:                 {"amqp-value:*", nil},
	CodeFooter:                {"footer:map", nil},
}
