package guard

import (
	"maps"
	"slices"
	"strings"
)

// A check allows or refuses one value of the tree. s is the WITH names in sight of it.
type check func(w *walk, v *value, s *sight) error

// shape is what an object may hold: each member's name and its check.
type shape map[string]check

// form is one kind of node. types, when there are any, are all that its member "type" may say. enter is run first and
// gives what is in sight of the node's members.
type form struct {
	types   []string
	enter   func(w *walk, v *value, s *sight) (*sight, error)
	members shape
}

// grammar is every kind of node that a statement may hold. It does not change.
type grammar struct {
	root        check
	with        shape // one entry of a WITH clause
	expressions map[string]form
	calls       map[string]form // in FROM
	tables      map[string]form
	nodes       map[string]form
	modifiers   map[string]form
	typeInfos   map[string]form
	types       map[string]bool
	logicalType shape
	constant    shape
	literal     shape // one that is not plain
}

// members holds an object against a shape: members that the shape does not name are refused.
func (w *walk) members(v *value, sh shape, s *sight) error {
	if v.kind != '{' {
		return w.refuse("The statement has a part that is not known to be harmless.")
	}
	for i, name := range v.names {
		check, known := sh[name]
		if !known {
			return w.refuse("The statement has a part that is not known to be harmless (%s).", quote(name))
		}
		if err := check(w, &v.items[i], s); err != nil {
			return err
		}
	}
	return nil
}

// variant holds an object against the form that its member tag names. what is the word for such nodes.
func (w *walk) variant(v *value, tag, what string, forms map[string]form, s *sight) error {
	w.pass(v)
	kind := v.get(tag).text
	f, known := forms[kind]
	if !known || f.types != nil && !slices.Contains(f.types, v.get("type").text) {
		return w.refuse("The statement has %s that is not known to be harmless (%s, %s).", what, quote(kind), quote(v.get("type").text))
	}
	if f.enter != nil {
		var err error
		if s, err = f.enter(w, v, s); err != nil {
			return err
		}
	}
	return w.members(v, f.members, s)
}

// The checks of one value.

// plain allows text, numbers, true, false and null.
func plain(w *walk, v *value, _ *sight) error {
	if v.kind == '{' || v.kind == '[' {
		return w.refuse("The statement has a part that is not known to be harmless.")
	}
	return nil
}

// none allows null, false, an empty text and an empty list: a feature that is not used.
func none(w *walk, v *value, _ *sight) error {
	switch {
	case v.kind == 'n', v.kind == 'f', v.kind == '"' && v.text == "", v.kind == '[' && len(v.items) == 0:
		return nil
	}
	return w.refuse("The statement uses something that is not known to be harmless.")
}

// something allows anything: what it stands for is checked elsewhere.
func something(*walk, *value, *sight) error { return nil }

func expression(w *walk, v *value, s *sight) error {
	if v.kind == 'n' {
		return nil
	}
	return w.variant(v, "class", "an expression", w.grammar.expressions, s)
}

func tableReference(w *walk, v *value, s *sight) error {
	return w.variant(v, "type", "a table", w.grammar.tables, s)
}

func tableCall(w *walk, v *value, s *sight) error {
	return w.variant(v, "class", "a table function", w.grammar.calls, s)
}

func node(w *walk, v *value, s *sight) error {
	return w.variant(v, "type", "a clause", w.grammar.nodes, s)
}

func modifier(w *walk, v *value, s *sight) error {
	return w.variant(v, "type", "a clause", w.grammar.modifiers, s)
}

func typeInfo(w *walk, v *value, s *sight) error {
	if v.kind == 'n' {
		return nil
	}
	return w.variant(v, "type", "a type", w.grammar.typeInfos, s)
}

// logicalType checks the type of a cast or a constant.
func logicalType(w *walk, v *value, s *sight) error {
	if id := v.get("id").text; !w.grammar.types[id] {
		return w.refuse("The type %s is not allowed.", quote(id))
	}
	return w.members(v, w.grammar.logicalType, s)
}

// constant checks a value written in the statement.
func constant(w *walk, v *value, s *sight) error {
	return w.members(v, w.grammar.constant, s)
}

// literal checks what a constant says: most are plain, large integers have two halves, and lists have children.
func literal(w *walk, v *value, s *sight) error {
	if v.kind != '{' {
		return plain(w, v, s)
	}
	return w.members(v, w.grammar.literal, s)
}

// list allows a list of what item allows.
func list(item check) check {
	return func(w *walk, v *value, s *sight) error {
		if v.kind != '[' {
			return w.refuse("The statement has a part that is not known to be harmless.")
		}
		for i := range v.items {
			if err := item(w, &v.items[i], s); err != nil {
				return err
			}
		}
		return nil
	}
}

// object allows an object of a shape.
func object(sh shape) check {
	return func(w *walk, v *value, s *sight) error { return w.members(v, sh, s) }
}

// optional allows null, or what c allows.
func optional(c check) check {
	return func(w *walk, v *value, s *sight) error {
		if v.kind == 'n' {
			return nil
		}
		return c(w, v, s)
	}
}

// refused is a form that is known and refused, with what to say.
func refused(say string) form {
	return form{enter: func(w *walk, _ *value, s *sight) (*sight, error) { return s, w.refuse("%s", say) }}
}

// extended is a shape with more members.
func extended(base, more shape) shape {
	all := shape{}
	maps.Copy(all, base)
	maps.Copy(all, more)
	return all
}

func newGrammar() *grammar {
	names := list(plain)
	statement := object(shape{"node": node, "named_param_map": list(object(shape{"key": plain, "value": plain}))})
	orders := list(object(shape{"type": plain, "null_order": plain, "expression": expression}))
	sample := optional(sampling(object(shape{"sample_size": constant, "is_percentage": plain, "method": plain, "seed": plain})))
	g := &grammar{
		root: object(shape{"error": plain, "statements": list(statement)}),
		with: shape{"key": plain, "value": object(shape{"aliases": names, "query": statement, "materialized": plain, "key_targets": none})},
		modifiers: map[string]form{
			"ORDER_MODIFIER":         {members: shape{"type": plain, "orders": orders}},
			"LIMIT_MODIFIER":         {members: shape{"type": plain, "limit": expression, "offset": expression}},
			"LIMIT_PERCENT_MODIFIER": {members: shape{"type": plain, "limit": expression, "offset": expression}},
			"DISTINCT_MODIFIER":      {members: shape{"type": plain, "distinct_on_targets": list(expression)}},
		},
		types:       map[string]bool{},
		logicalType: shape{"id": plain, "type_info": typeInfo},
		constant:    shape{"type": logicalType, "is_null": plain, "value": literal},
		literal:     shape{"upper": plain, "lower": plain, "children": list(constant)},
	}
	for id := range strings.FieldsSeq("BOOLEAN TINYINT SMALLINT INTEGER BIGINT HUGEINT UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT BIGNUM " +
		"FLOAT DOUBLE DECIMAL VARCHAR BLOB DATE TIME TIME_NS TIMESTAMP TIMESTAMP_S TIMESTAMP_MS TIMESTAMP_NS INTERVAL UUID LIST STRUCT MAP " +
		"NULL UNBOUND") {
		g.types[id] = true
	}
	g.types["TIME WITH TIME ZONE"], g.types["TIMESTAMP WITH TIME ZONE"] = true, true
	g.expressions = expressionForms(statement, orders)
	call := g.expressions["FUNCTION"]
	call.enter = callInFrom
	g.calls = map[string]form{"FUNCTION": call}
	g.tables = tableForms(statement, names, sample)
	g.nodes = nodeForms(sample)
	g.typeInfos = typeInfoForms()
	return g
}

// sampling refuses, to a statement that sees only a part of the rows, a sample that takes whole blocks of them: how many
// rows a block has tells how many others lie between them.
func sampling(c check) check {
	return func(w *walk, v *value, s *sight) error {
		if method := v.get("method").text; w.narrow && method != "Bernoulli" && method != "Reservoir" {
			return w.refuse("A sample of blocks is not allowed here. Write a sample of rows: TABLESAMPLE bernoulli(10%%) or reservoir(100 ROWS).")
		}
		return c(w, v, s)
	}
}

func nodeForms(sample check) map[string]form {
	// withNames, which is run on entering, checks cte_map.
	every := shape{"type": plain, "modifiers": list(modifier), "cte_map": something}
	return map[string]form{
		"SELECT_NODE": {enter: withNames, members: extended(every, shape{
			"select_list": list(expression), "from_table": tableReference, "where_clause": expression,
			"group_expressions": list(expression), "group_sets": list(list(plain)), "aggregate_handling": plain,
			"having": expression, "qualify": expression, "sample": sample,
		})},
		"SET_OPERATION_NODE": {enter: withNames, members: extended(every, shape{
			"setop_type": plain, "left": node, "right": node, "setop_all": plain,
		})},
		"RECURSIVE_CTE_NODE": refused("WITH RECURSIVE is not allowed."),
	}
}

func tableForms(statement, names, sample check) map[string]form {
	every := shape{"type": plain, "alias": plain, "sample": sample, "query_location": plain}
	return map[string]form{
		"EMPTY": {members: every},
		"BASE_TABLE": {enter: baseTable, members: extended(every, shape{
			"schema_name": plain, "table_name": plain, "catalog_name": plain, "column_name_alias": names, "at_clause": noTimeTravel,
		})},
		"SUBQUERY": {members: extended(every, shape{"subquery": statement, "column_name_alias": names})},
		"JOIN": {members: extended(every, shape{
			"left": tableReference, "right": tableReference, "condition": expression, "join_type": plain, "ref_type": plain,
			"using_columns": names, "delim_flipped": none, "duplicate_eliminated_columns": none,
		})},
		"TABLE_FUNCTION": {members: extended(every, shape{
			"function": tableCall, "column_name_alias": names, "with_ordinality": plain,
		})},
		"EXPRESSION_LIST": {members: extended(every, shape{
			"expected_names": none, "expected_types": none, "values": list(list(expression)),
		})},
		"PIVOT":    refused(writePivot),
		"SHOW_REF": refused(noDescribe),
	}
}

func noTimeTravel(w *walk, v *value, _ *sight) error {
	if v.kind != 'n' {
		return w.refuse("AT, to read a table as it was, is not allowed.")
	}
	return nil
}

func typeInfoForms() map[string]form {
	every := shape{"type": plain, "alias": none, "extension_info": none}
	return map[string]form{
		"DECIMAL_TYPE_INFO": {members: extended(every, shape{"width": plain, "scale": plain})},
		"LIST_TYPE_INFO":    {members: extended(every, shape{"child_type": logicalType})},
		"STRUCT_TYPE_INFO": {members: extended(every, shape{
			"child_types": list(object(shape{"first": plain, "second": logicalType})),
		})},
		"UNBOUND_TYPE_INFO": {enter: unboundType, members: extended(every, shape{
			"name": plain, "catalog": none, "schema": none, "user_type_modifiers": none,
		})},
	}
}

func expressionForms(statement, orders check) map[string]form {
	every := shape{"class": plain, "type": plain, "alias": plain, "query_location": plain}
	children := shape{"children": list(expression)}
	columnName := object(shape{"catalog": plain, "schema": plain, "table": plain, "column": plain})
	forms := map[string]form{
		"BETWEEN": {types: []string{"COMPARE_BETWEEN"}, members: shape{"input": expression, "lower": expression, "upper": expression}},
		"CASE": {types: []string{"CASE_EXPR"}, members: shape{
			"case_checks": list(object(shape{"when_expr": expression, "then_expr": expression})), "else_expr": expression,
		}},
		"CAST":       {types: []string{"OPERATOR_CAST"}, members: shape{"child": expression, "cast_type": logicalType, "try_cast": plain}},
		"COLLATE":    {types: []string{"COLLATE"}, members: shape{"child": expression, "collation": plain}},
		"COLUMN_REF": {types: []string{"COLUMN_REF"}, enter: column, members: shape{"column_names": list(plain)}},
		"COMPARISON": {types: []string{"COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_LESSTHAN", "COMPARE_GREATERTHAN",
			"COMPARE_LESSTHANOREQUALTO", "COMPARE_GREATERTHANOREQUALTO", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"},
			members: shape{"left": expression, "right": expression}},
		"CONJUNCTION": {types: []string{"CONJUNCTION_AND", "CONJUNCTION_OR"}, members: children},
		"CONSTANT":    {types: []string{"VALUE_CONSTANT"}, members: shape{"value": constant}},
		"DEFAULT":     refused("DEFAULT has no meaning in a query."),
		"FUNCTION": {types: []string{"FUNCTION"}, enter: call, members: extended(children, shape{
			"function_name": plain, "schema": plain, "catalog": plain, "filter": expression, "order_bys": optional(modifier),
			"distinct": plain, "is_operator": plain, "export_state": none,
		})},
		"LAMBDA": {types: []string{"LAMBDA"}, members: shape{"lhs": expression, "expr": expression}},
		"OPERATOR": {types: []string{"ARRAY_CONSTRUCTOR", "ARRAY_EXTRACT", "ARRAY_SLICE", "STRUCT_EXTRACT", "COMPARE_IN", "COMPARE_NOT_IN",
			"GROUPING_FUNCTION", "OPERATOR_COALESCE", "OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL", "OPERATOR_NOT", "OPERATOR_TRY",
			"OPERATOR_UNPACK"}, members: children},
		"PARAMETER":            {types: []string{"VALUE_PARAMETER"}, members: shape{"identifier": plain}},
		"POSITIONAL_REFERENCE": {types: []string{"POSITIONAL_REFERENCE"}, members: shape{"index": plain}},
		"STAR": {types: []string{"STAR"}, members: shape{
			"relation_name": plain, "columns": plain, "expr": expression, "exclude_list": list(plain),
			"replace_list":           list(object(shape{"key": plain, "value": expression})),
			"qualified_exclude_list": list(columnName),
			"rename_list":            list(object(shape{"key": columnName, "value": plain})),
		}},
		"SUBQUERY": {types: []string{"SUBQUERY"}, members: shape{
			"subquery_type": plain, "subquery": statement, "child": expression, "comparison_type": plain,
		}},
		"WINDOW": {types: windowTypes(), enter: call, members: extended(children, shape{
			"function_name": plain, "schema": plain, "catalog": plain, "partitions": list(expression), "orders": orders,
			"start": plain, "end": plain, "start_expr": expression, "end_expr": expression, "offset_expr": expression,
			"default_expr": expression, "ignore_nulls": plain, "filter_expr": expression, "exclude_clause": plain, "distinct": plain,
			"arg_orders": orders,
		})},
	}
	for class, f := range forms {
		f.members = extended(every, f.members)
		forms[class] = f
	}
	return forms
}

func windowTypes() []string {
	return []string{"WINDOW_AGGREGATE", "WINDOW_CUME_DIST", "WINDOW_FILL", "WINDOW_FIRST_VALUE", "WINDOW_LAG", "WINDOW_LAST_VALUE",
		"WINDOW_LEAD", "WINDOW_NTH_VALUE", "WINDOW_NTILE", "WINDOW_PERCENT_RANK", "WINDOW_RANK", "WINDOW_RANK_DENSE", "WINDOW_ROW_NUMBER"}
}
