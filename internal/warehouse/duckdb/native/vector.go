package native

import (
	"errors"
	"unsafe"

	b "github.com/duckdb/duckdb-go-bindings"
)

// vector reads the values of one column, or of one part of a nested column, of the block at hand. The memory is the
// engine's, laid out as its C header documents: fixed-width values side by side, one bit of validity each.
type vector struct {
	typ      b.Type
	write    writer
	scale    int      // of a decimal, its digits after the point
	length   int      // of an array
	labels   []string // of an enum its texts, of a struct its fields' names; as JSON strings
	children []vector // of a list or an array one, of a map key and value, of a struct its fields, of a union its tag and members

	data  unsafe.Pointer
	valid unsafe.Pointer // nil: every value is there
}

// writer appends the JSON of the value at a row, which is not null.
type writer func(v *vector, dst []byte, row int) []byte

var errUnreadable = errors.New("its type cannot be returned; cast it to VARCHAR or JSON")

// newVector makes the reader of a type.
func newVector(t b.LogicalType) (vector, error) {
	v := vector{typ: b.GetTypeId(t)}
	if v.typ == b.TypeVarchar && b.LogicalTypeGetAlias(t) == jsonAlias {
		v.write = writeJSON
		return v, nil
	}
	if w, ok := scalarWriter(v.typ); ok {
		v.write = w
		return v, nil
	}
	var parts []b.LogicalType
	switch v.typ {
	case b.TypeDecimal:
		v.scale = int(b.DecimalScale(t))
		v.typ = b.DecimalInternalType(t)
		v.write = writeDecimal
	case b.TypeEnum:
		v.typ = b.EnumInternalType(t)
		v.write = writeEnum
		for i := range b.EnumDictionarySize(t) {
			v.labels = append(v.labels, quote(b.EnumDictionaryValue(t, b.IdxT(i))))
		}
	case b.TypeList:
		v.write, parts = writeList, []b.LogicalType{b.ListTypeChildType(t)}
	case b.TypeArray:
		v.length = int(b.ArrayTypeArraySize(t))
		v.write, parts = writeArray, []b.LogicalType{b.ArrayTypeChildType(t)}
	case b.TypeMap:
		v.write, parts = writeMap, []b.LogicalType{b.MapTypeKeyType(t), b.MapTypeValueType(t)}
	case b.TypeStruct:
		v.write, parts = writeStruct, v.fields(t)
	case b.TypeUnion:
		v.write, parts = writeUnion, members(t)
	default:
		return v, errUnreadable
	}
	var err error
	for i := range parts {
		child, fault := newVector(parts[i])
		v.children, err = append(v.children, child), errors.Join(err, fault)
		b.DestroyLogicalType(&parts[i])
	}
	if err != nil {
		return v, errUnreadable
	}
	return v, nil
}

// fields lists the types of a struct's fields, and keeps their names. The fields of row(…) have no names: such a struct
// is written as an array.
func (v *vector) fields(t b.LogicalType) []b.LogicalType {
	types := make([]b.LogicalType, b.StructTypeChildCount(t))
	named := false
	for i := range types {
		name := b.StructTypeChildName(t, b.IdxT(i))
		named = named || name != ""
		v.labels = append(v.labels, quote(name))
		types[i] = b.StructTypeChildType(t, b.IdxT(i))
	}
	if !named {
		v.labels = nil
	}
	return types
}

// members lists the types of a union's parts as they lie in memory: the tag first.
func members(t b.LogicalType) []b.LogicalType {
	types := []b.LogicalType{b.CreateLogicalType(b.TypeUTinyInt)}
	for i := range b.UnionTypeMemberCount(t) {
		types = append(types, b.UnionTypeMemberType(t, i))
	}
	return types
}

// read turns to the vector of the next block.
func (v *vector) read(from b.Vector) {
	v.data, v.valid = b.VectorGetData(from), b.VectorGetValidity(from)
	switch v.typ {
	case b.TypeList:
		v.children[0].read(b.ListVectorGetChild(from))
	case b.TypeArray:
		v.children[0].read(b.ArrayVectorGetChild(from))
	case b.TypeMap:
		entries := b.ListVectorGetChild(from)
		v.children[0].read(b.StructVectorGetChild(entries, 0))
		v.children[1].read(b.StructVectorGetChild(entries, 1))
	case b.TypeStruct, b.TypeUnion:
		for i := range v.children {
			v.children[i].read(b.StructVectorGetChild(from, b.IdxT(i)))
		}
	}
}

func (v *vector) null(row int) bool {
	if v.valid == nil {
		return false
	}
	word := *(*uint64)(unsafe.Add(v.valid, row/64*8))
	return word>>(row%64)&1 == 0
}

// at reads a fixed-width value.
func at[T any](v *vector, row int) T {
	var zero T
	return *(*T)(unsafe.Add(v.data, uintptr(row)*unsafe.Sizeof(zero)))
}

// bytes is a text or blob, in the engine's memory: valid until the next block. It is 16 bytes: the length in four, and
// then the first twelve bytes, or four bytes and the address of all.
func (v *vector) bytes(row int) []byte {
	const size, inline, address = 16, 4, 8
	text := unsafe.Add(v.data, row*size)
	n := *(*uint32)(text)
	if n <= size-inline {
		return unsafe.Slice((*byte)(unsafe.Add(text, inline)), n)
	}
	return unsafe.Slice(*(**byte)(unsafe.Add(text, address)), n)
}

// span is where the elements of a list or map lie in its children.
func (v *vector) span(row int) (from, to int) {
	entry := at[[2]uint64](v, row)
	return int(entry[0]), int(entry[0] + entry[1])
}

// appendJSON appends the value at a row.
func (v *vector) appendJSON(dst []byte, row int) []byte {
	if v.null(row) {
		return append(dst, "null"...)
	}
	return v.write(v, dst, row)
}
