"""Pure traffic logic: values in, values out."""
