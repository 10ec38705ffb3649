package backup

// CopyListed is Copy with a function that runs after each listing of a folder.
func CopyListed(from, to string, listed func(folder string)) (Copied, error) {
	c := copying{from: from, to: to, listed: listed}
	return c.copy()
}
