package twin

// scan finds the value at path in the JSON of a stored document and reads that
// value alone: to ask many twins for one property must not cost reading them.
// text is as [Document.JSONWithMetadata] writes it; what is wrong with it is found
// only where it is looked at.
func scan(text string, path []string) (Value, bool, error) {
	r := &reader{text: text, section: noSection}
	for i, key := range path {
		found, err := r.enter(key, i == 0)
		if !found || err != nil {
			return Value{}, false, err
		}
	}
	n, err := r.value()
	return Value{n}, err == nil, err
}

// enter goes to the value of a member of the object, or to the item of the
// array, that the reader stands before. It is not found in anything else.
func (r *reader) enter(key string, top bool) (bool, error) {
	switch {
	case r.accept('{'):
		return r.enterMember(key, top)
	case r.peek() == '[':
		return r.enterItem(key)
	}
	return false, nil
}

func (r *reader) enterMember(key string, top bool) (bool, error) {
	for r.peek() != '}' {
		name, err := r.name()
		if err != nil {
			return false, err
		}
		switch {
		case name == key:
			return true, nil
		case top && name == keyMetadata:
			return false, nil // it follows the last property
		}
		if err := r.pass(); err != nil {
			return false, err
		}
		r.accept(',')
	}
	return false, nil
}

// enterItem reads the array: items are rarely asked for, and arrays are short.
func (r *reader) enterItem(index string) (bool, error) {
	n, err := r.value()
	if err != nil {
		return false, err
	}
	item := n.at(index)
	if item == nil {
		return false, nil
	}
	r.text, r.pos = string(appendValue(nil, item)), 0
	return true, nil
}

// pass moves past one value without reading it.
func (r *reader) pass() error {
	depth := 0
	for r.pos < len(r.text) {
		switch r.text[r.pos] {
		case '"':
			if err := r.passString(); err != nil {
				return err
			}
			continue
		case '{', '[':
			depth++
		case '}', ']', ',':
			if depth == 0 {
				return nil
			}
			if r.text[r.pos] != ',' {
				depth--
			}
		}
		r.pos++
	}
	return r.syntax("a value does not end")
}

func (r *reader) passString() error {
	for i := r.pos + 1; i < len(r.text); i++ {
		switch r.text[i] {
		case '\\':
			i++
		case '"':
			r.pos = i + 1
			return nil
		}
	}
	return r.syntax("a string does not end")
}
