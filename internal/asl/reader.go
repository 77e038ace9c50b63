package asl

// Reading is something to read from a store of objects.
type Reading struct{ Bucket string }

// Writing are objects to write.
type Writing struct{ Bucket string }
