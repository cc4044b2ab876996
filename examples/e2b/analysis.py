"""Data analysis: uploads a table, lets code in the sandbox summarise and draw it, and saves the chart."""

import base64

from e2b_code_interpreter import Sandbox

SALES = "month,units\nJan,120\nFeb,90\nMar,150\nApr,210\n"
CODE = """
import matplotlib.pyplot as plt
import pandas as pd

table = pd.read_csv("/home/user/sales.csv")
plt.bar(table["month"], table["units"])
plt.title("Units sold")
plt.show()
int(table["units"].sum())
"""

with Sandbox.create() as sandbox:
    sandbox.files.write("/home/user/sales.csv", SALES)
    execution = sandbox.run_code(CODE)
    if execution.error:
        raise SystemExit(execution.error.traceback)
    picture = next(result for result in execution.results if result.png)
    with open("chart.png", "wb") as file:
        file.write(base64.b64decode(picture.png))
    print(f'{execution.text} units, "{picture.chart.title}" in chart.png')
