// Package patterns says which of many patterns an event fits.
//
//	HCL, JSON ─Read, ParseJSON─► Pattern ─Compile─► Matcher ─Match(event)─► which ones
//
// A pattern has the shape of the events it is for: names lead to lists of what the
// value of a field may be, as in the event patterns of Amazon EventBridge and its
// library Event Ruler, whose documentation and public tests are the source of what
// the operators mean.
//
//	{ "type": ["com.github.push"],
//	  "data": { "ref": [ { "prefix": "refs/tags/" } ], "size": [ { "numeric": [ ">", 0 ] } ] } }
//
// All fields of a pattern have to fit, and of each list one thing. Arrays in events
// are transparent: each of their elements counts. What is in different elements of
// one array never makes a match together.
//
// A [Matcher] holds all patterns in one structure and reads an event once, passing
// over everything no pattern speaks of:
//
//   - a tree of the fields that patterns name;
//   - at each of them an index from values to the requirements that they meet: maps
//     for what is equal, automata (Aho and Corasick) for pieces of text, an interval
//     tree for ranges of numbers, maps by length for networks;
//   - a tree of requirements, in which each pattern is a path. Only branches whose
//     requirements are met are followed. Requirements that most values meet
//     (anything-but, exists) come last and are looked at where they are reached.
//
// So the work for an event follows its fields and the patterns that it fits, not the
// number of patterns.
//
// Where this differs from Event Ruler: numbers are exact decimals of any size; a "."
// in a name is part of it; a field that is named outside of "$or" and in it has to
// fit both; "$or" is never the name of a field; the text of an IP address fits that
// text alone (use cidr); in place of a list of one text, number or boolean, the value
// alone will do.
package patterns
