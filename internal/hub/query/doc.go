// Package query is the IoT Hub query language for twins and jobs: a parser, and
// an evaluator that asks one row at a time.
//
//	SELECT properties.reported.status AS status, COUNT() AS n
//	FROM devices WHERE tags.site = 'hall 4' AND IS_DEFINED(properties.reported.status)
//	GROUP BY properties.reported.status
//
// [Parse] makes a [Query], which is immutable and safe to share. The hub walks
// the rows of [Query.From] in an order of its own, which is what its
// continuation tokens are about. For each it calls [Query.Match] and then, for a
// query without aggregates, [Query.AppendResult]; with aggregates it adds the row
// to the [Groups] of [Query.Group].
//
// # Language
//
// Keywords and the names of functions may be in any case; so may the names of
// what stands at the top of a twin (deviceId, tags, properties, …), as the
// service's own examples write DeviceID. Below that case counts. A name that is
// no plain word is written [[so]], ['so'] or ["so"]; [0] is an item of an array.
//
// Operators, from the weakest: OR, AND, NOT, comparisons with IN and NIN, + and
// -, * / and %, unary -. Functions: ABS AS_NUMBER CEILING CONCAT CONTAINS
// ENDS_WITH EXP FLOOR INDEX_OF IS_ARRAY IS_BOOL IS_DEFINED IS_NULL IS_NUMBER
// IS_OBJECT IS_PRIMITIVE IS_STRING LENGTH LOWER POWER SIGN SQRT SQUARE
// STARTS_WITH SUBSTRING UPPER, and the spellings STARTSWITH and ENDSWITH.
// Aggregates: COUNT SUM AVG MIN MAX.
//
// A value is undefined if it is not there, or is of a type that the operator or
// function does not take: 1 < 'a' and UPPER(1) are undefined, and so is a
// comparison of an undefined value. NOT of undefined is undefined. AND is false
// if one side is, whatever the other, and OR true. A row matches if the
// condition is true.
//
// As in the service there is no ORDER BY, no JOIN and no subquery; asking for
// them is an error that says so.
//
// # Limits
//
// A query is at most [MaxLength] long and nested [MaxDepth] deep, and makes at
// most [MaxGroups] groups, so its cost is bounded by its own length times the rows
// it walks.
package query
