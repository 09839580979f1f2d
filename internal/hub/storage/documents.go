package storage

// Documents are what the hub's other rooms keep, such as configurations and jobs: small
// values by key, of which a room holds in memory what it needs to decide. The first byte
// of a key is its kind, which a room shares with nobody.
type Documents interface {
	// Write makes all of a batch, in its order, or nothing. It returns when that is
	// durable.
	Write(b Batch) error

	// Note is Write that does not wait. A crash may undo it, and then all that was noted
	// after it; a Write that comes later and returns makes it durable.
	Note(b Batch) error

	// Scan visits the documents whose keys are from, or between from and to, as they
	// were when it began, in the order of the keys' bytes, until visit wants no more or
	// fails; its error is returned as it is. visit may keep neither key nor value.
	Scan(from, to []byte, visit func(key, value []byte) (more bool, err error)) error
}

// A Batch is changes of [Documents] that are made together. It keeps the slices that
// it is given until it is written.
type Batch []Edit

// An Edit is one of them.
type Edit struct {
	Key   []byte
	Value []byte // nil: what is at Key is removed
	To    []byte // not nil: what is at Key, or between Key and To, is removed
}

// Set stores a document, in the place of one before. The value must not be nil.
func (b *Batch) Set(key, value []byte) { *b = append(*b, Edit{Key: key, Value: value}) }

// Delete removes a document, if it is there.
func (b *Batch) Delete(key []byte) { *b = append(*b, Edit{Key: key}) }

// DeleteRange removes the documents whose keys are from, or between from and to.
func (b *Batch) DeleteRange(from, to []byte) { *b = append(*b, Edit{Key: from, To: to}) }
