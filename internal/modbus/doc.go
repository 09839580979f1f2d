// Package modbus is a client of Modbus TCP: it reads and writes the coils and
// registers of units behind one address.
//
// It implements the MODBUS Application Protocol Specification V1.1b3 (called AP)
// and the MODBUS Messaging on TCP/IP Implementation Guide V1.0b (called TCP), of
// these the functions 1 to 6 and 16. One request is under way at a time, which is
// what serial lines behind a TCP address can do; the caller sees to that.
//
// What a device sends is not trusted: an answer that is not one to the question is an
// error, after which the connection is closed, because it is not known what the next
// bytes mean.
package modbus
