"""What a model writes when it is asked: how did these shares do, and which did best?"""

import json

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import pandas as pd

prices = pd.read_csv("/home/user/stocks.csv", parse_dates=["date"])
by_year = prices.pivot_table(
    index=prices["date"].dt.year, columns="symbol", values="price", aggfunc="mean"
)
growth = (by_year.iloc[-1] / by_year.iloc[0]).dropna()

figure, axes = plt.subplots(figsize=(8, 4.5))
by_year.plot(ax=axes, marker="o")
axes.set_xlabel("year")
axes.set_ylabel("mean price")
axes.set_title("Mean share price by year")
figure.tight_layout()
figure.savefig("/home/user/chart.png", dpi=110)

print(
    json.dumps(
        {
            "rows": len(prices),
            "symbols": sorted(prices["symbol"].unique()),
            "bestGrowth": growth.idxmax(),
            "factor": round(float(growth.max()), 2),
        }
    )
)
