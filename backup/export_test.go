package backup

// CopyListed is Copy with a function that runs after each listing of a folder.
func CopyListed(from, to string, listed func(folder string)) (Copied, error) {
	c := copying{from: from, to: to, listed: listed}
	return c.copy()
}

// CopyFiles is Copy with a function that runs after each copy of a file that never changes.
func CopyFiles(from, to string, o CopyOptions, copied func(name string)) (Copied, error) {
	c := copying{from: from, to: to, o: o, copied: copied}
	return c.copy()
}
