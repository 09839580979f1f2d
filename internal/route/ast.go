package route

// expr is one expression of a condition: what was written, its static type, and
// how it is evaluated.
type expr struct {
	op       string  // an operator, or one of the op constants
	name     string  // of a property or function; the digits of a number
	args     []*expr // operands or arguments
	value    value   // of a literal
	pos, end int     // bytes of the text
	at       token   // what an error about this expression points at
	typ      typ     // set by the checker
	eval     evalFunc
}

// What an expr is if it is not an operator.
const (
	opLiteral  = "literal"
	opProperty = "property" // name
	opSystem   = "$"        // $name
	opEscaped  = "{$}"      // {$name}
	opCall     = "call"
)

// typ is a static type.
type typ uint8

const (
	undefinedType typ = iota
	nullType
	boolType
	numberType
	stringType
	bodyType // known only when a message is there

	anyType // of a parameter that takes everything
	broken  // of an expression that is wrong
)

func (t typ) String() string {
	return [...]string{"undefined", "null", "bool", "number", "string", "body value", "any", "wrong"}[t]
}

// evalFunc evaluates an expression for one message.
type evalFunc func(*frame) value
