// Package amqp10 speaks AMQP 1.0 (OASIS Standard, 29 October 2012).
package amqp10
