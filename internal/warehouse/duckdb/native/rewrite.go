package native

/*
#include <stdlib.h>

void weirRewrite(void *info, void *rows, void *into);
void weirForget(void *lent);

typedef void (*weir_rewrite_t)(void *, void *, void *);
typedef void (*weir_forget_t)(void *);
*/
import "C"

import (
	"crypto/rand"
	"encoding/binary"
	"runtime/cgo"
	"sync"
	"unsafe"

	b "github.com/duckdb/duckdb-go-bindings"
)

// Rewriter makes another text of a text and appends it to dst, in a time that grows with the text and no faster; with
// ok false there is none, which is null. It is called by several threads of the engine at once, and keeps neither of
// its arguments.
type Rewriter func(dst, text []byte) (out []byte, ok bool)

// The functions by which a statement calls a Rewriter that was lent: its number first, then the text. What is null, and
// what is given a number that nobody was lent, becomes null. The second gives JSON, which the Rewriter must see to.
const (
	RewriteText = "weir_rewrite_text"
	RewriteJSON = "weir_rewrite_json"
)

// rewriters are the functions lent to the statements of one database, by numbers that cannot be guessed.
type rewriters struct {
	mu   sync.RWMutex
	lent map[int64]Rewriter
}

// Lend lets statements call a function by the number it gives, until it is given back.
func (db *DB) Lend(f Rewriter) (number int64, back func()) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // it never fails
	number = int64(binary.LittleEndian.Uint64(random[:]) >> 1)
	db.rewriters.mu.Lock()
	db.rewriters.lent[number] = f
	db.rewriters.mu.Unlock()
	return number, func() {
		db.rewriters.mu.Lock()
		delete(db.rewriters.lent, number)
		db.rewriters.mu.Unlock()
	}
}

func (r *rewriters) get(number int64) Rewriter {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.lent[number]
}

// addRewriters makes the two functions known to every connection of a database.
func (db *DB) addRewriters(conn *Conn) error {
	db.rewriters = &rewriters{lent: map[int64]Rewriter{}}
	for name, alias := range map[string]string{RewriteText: "", RewriteJSON: jsonAlias} {
		if !register(conn, name, alias, db.rewriters) {
			return &Error{Kind: Fault, Message: "the engine does not take the function " + name}
		}
	}
	return nil
}

func register(conn *Conn, name, alias string, r *rewriters) bool {
	f := b.CreateScalarFunction()
	defer b.DestroyScalarFunction(&f)
	number, text, out := b.CreateLogicalType(b.TypeBigInt), b.CreateLogicalType(b.TypeVarchar), b.CreateLogicalType(b.TypeVarchar)
	for _, t := range []*b.LogicalType{&number, &text, &out} {
		defer b.DestroyLogicalType(t)
	}
	if alias != "" {
		b.LogicalTypeSetAlias(out, alias)
	}
	b.ScalarFunctionSetName(f, name)
	b.ScalarFunctionAddParameter(f, number)
	b.ScalarFunctionAddParameter(f, text)
	b.ScalarFunctionSetReturnType(f, out)
	b.ScalarFunctionSetSpecialHandling(f) // of null: weirRewrite does it
	lent := (*cgo.Handle)(C.malloc(C.size_t(unsafe.Sizeof(cgo.Handle(0)))))
	*lent = cgo.NewHandle(r)
	b.ScalarFunctionSetExtraInfo(f, unsafe.Pointer(lent), unsafe.Pointer(C.weir_forget_t(C.weirForget)))
	b.ScalarFunctionSetFunction(f, unsafe.Pointer(C.weir_rewrite_t(C.weirRewrite)))
	return b.RegisterScalarFunction(conn.conn, f) != b.StateError
}

// weirForget is called by the engine when it drops a function.
//
//export weirForget
func weirForget(lent unsafe.Pointer) {
	(*cgo.Handle)(lent).Delete()
	C.free(lent)
}

// weirRewrite is called by the engine with a block of rows, whose vectors are flat. Whatever goes wrong makes nulls: an
// error would have words.
//
//export weirRewrite
func weirRewrite(info, rows, into unsafe.Pointer) {
	chunk, out := b.DataChunk{Ptr: rows}, b.Vector{Ptr: into}
	var number, text vector
	number.read(b.DataChunkGetVector(chunk, 0))
	text.read(b.DataChunkGetVector(chunk, 1))
	n := int(b.DataChunkGetSize(chunk))
	done := 0
	null := func(row int) {
		b.VectorEnsureValidityWritable(out)
		b.ValiditySetRowInvalid(b.VectorGetValidity(out), b.IdxT(row))
	}
	defer func() {
		if recover() != nil {
			for ; done < n; done++ {
				null(done)
			}
		}
	}()
	r := (*cgo.Handle)(b.ScalarFunctionGetExtraInfo(b.FunctionInfo{Ptr: info})).Value().(*rewriters) //nolint:forcetypeassert // register put it there
	var f Rewriter
	var of int64
	var made []byte
	for ; done < n; done++ {
		if text.null(done) || number.null(done) {
			null(done)
			continue
		}
		if at := at[int64](&number, done); f == nil || at != of {
			f, of = r.get(at), at
		}
		ok := false
		if f != nil {
			made, ok = f(made[:0], text.bytes(done))
		}
		if !ok {
			null(done)
			continue
		}
		b.UnsafeVectorAssignStringElementLen(out, b.IdxT(done), made)
	}
}
