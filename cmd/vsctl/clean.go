package main

import (
	"reflect"

	"vswitch/internal/wellformed"
)

// cleaned returns a copy of an object of the API in which no text can steer the terminal, for a
// template, which prints all as it is.
func cleaned[T any](object T) T {
	v := reflect.ValueOf(&object).Elem()
	v.Set(cleanedValue(v))
	return object
}

func cleanedValue(v reflect.Value) reflect.Value {
	c := reflect.New(v.Type()).Elem()
	c.Set(v)
	switch v.Kind() {
	case reflect.String:
		c.SetString(wellformed.Clean(v.String()))
	case reflect.Pointer, reflect.Interface:
		if v.IsNil() {
			break
		}
		inner := cleanedValue(v.Elem())
		if v.Kind() == reflect.Interface {
			c.Set(inner)
			break
		}
		c.Set(reflect.New(v.Type().Elem()))
		c.Elem().Set(inner)
	case reflect.Slice:
		if v.IsNil() {
			break
		}
		c.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		for i := range v.Len() {
			c.Index(i).Set(cleanedValue(v.Index(i)))
		}
	case reflect.Map:
		if v.IsNil() {
			break
		}
		c.Set(reflect.MakeMapWithSize(v.Type(), v.Len()))
		for key, value := range v.Seq2() {
			c.SetMapIndex(cleanedValue(key), cleanedValue(value))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() { // others are of addresses and times
				c.Field(i).Set(cleanedValue(v.Field(i)))
			}
		}
	default: // a number has no text
	}
	return c
}
