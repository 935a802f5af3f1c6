package native

import (
	"fmt"
	"strings"

	b "github.com/duckdb/duckdb-go-bindings"
)

// typeName is the engine's name for a type, as its typeof has it.
func typeName(t b.LogicalType) string {
	if alias := b.LogicalTypeGetAlias(t); alias == jsonAlias {
		return alias
	}
	switch id := b.GetTypeId(t); id {
	case b.TypeDecimal:
		return fmt.Sprintf("DECIMAL(%d,%d)", b.DecimalWidth(t), b.DecimalScale(t))
	case b.TypeEnum:
		labels := make([]string, b.EnumDictionarySize(t))
		for i := range labels {
			labels[i] = "'" + strings.ReplaceAll(b.EnumDictionaryValue(t, b.IdxT(i)), "'", "''") + "'"
		}
		return "ENUM(" + strings.Join(labels, ", ") + ")"
	case b.TypeList:
		return childName(b.ListTypeChildType(t)) + "[]"
	case b.TypeArray:
		return fmt.Sprintf("%s[%d]", childName(b.ArrayTypeChildType(t)), b.ArrayTypeArraySize(t))
	case b.TypeMap:
		return "MAP(" + childName(b.MapTypeKeyType(t)) + ", " + childName(b.MapTypeValueType(t)) + ")"
	case b.TypeStruct:
		fields := make([]string, b.StructTypeChildCount(t))
		for i := range fields {
			fields[i] = field(b.StructTypeChildName(t, b.IdxT(i)), b.StructTypeChildType(t, b.IdxT(i)))
		}
		return "STRUCT(" + strings.Join(fields, ", ") + ")"
	case b.TypeUnion:
		fields := make([]string, b.UnionTypeMemberCount(t))
		for i := range fields {
			fields[i] = field(b.UnionTypeMemberName(t, b.IdxT(i)), b.UnionTypeMemberType(t, b.IdxT(i)))
		}
		return "UNION(" + strings.Join(fields, ", ") + ")"
	default:
		return scalarName(id)
	}
}

func childName(t b.LogicalType) string {
	defer b.DestroyLogicalType(&t)
	return typeName(t)
}

func field(name string, t b.LogicalType) string {
	switch {
	case name == "":
		return childName(t)
	case strings.Trim(name, "abcdefghijklmnopqrstuvwxyz_") == "":
		return name + " " + childName(t)
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `" ` + childName(t)
}

func scalarName(id b.Type) string {
	names := map[b.Type]string{
		b.TypeBoolean: "BOOLEAN", b.TypeTinyInt: "TINYINT", b.TypeSmallInt: "SMALLINT", b.TypeInteger: "INTEGER",
		b.TypeBigInt: "BIGINT", b.TypeUTinyInt: "UTINYINT", b.TypeUSmallInt: "USMALLINT", b.TypeUInteger: "UINTEGER",
		b.TypeUBigInt: "UBIGINT", b.TypeFloat: "FLOAT", b.TypeDouble: "DOUBLE", b.TypeTimestamp: "TIMESTAMP",
		b.TypeDate: "DATE", b.TypeTime: "TIME", b.TypeInterval: "INTERVAL", b.TypeHugeInt: "HUGEINT",
		b.TypeUHugeInt: "UHUGEINT", b.TypeVarchar: "VARCHAR", b.TypeBlob: "BLOB", b.TypeTimestampS: "TIMESTAMP_S",
		b.TypeTimestampMS: "TIMESTAMP_MS", b.TypeTimestampNS: "TIMESTAMP_NS", b.TypeUUID: "UUID", b.TypeBit: "BIT",
		b.TypeTimeTZ: "TIME WITH TIME ZONE", b.TypeTimestampTZ: "TIMESTAMP WITH TIME ZONE", b.TypeBigNum: "BIGNUM",
		b.TypeSQLNull: `"NULL"`, b.TypeTimeNS: "TIME_NS", b.TypeGeometry: "GEOMETRY", b.TypeVariant: "VARIANT",
	}
	return names[id]
}
