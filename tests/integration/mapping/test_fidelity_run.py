"""A schema with everything on it, run from a T-SQL script to PostgreSQL: the application goes on as before."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from running import Tool
from servers import MssqlDatabase, PgDatabase

SHOP = """
CREATE SCHEMA sales
GO
CREATE SEQUENCE sales.TicketNumbers AS int START WITH 100 INCREMENT BY 10 MINVALUE 100 MAXVALUE 100000
GO
CREATE TABLE dbo.Customers (
    CustomerID int IDENTITY(100,5) NOT NULL CONSTRAINT PK_Customers PRIMARY KEY CLUSTERED,
    Email nvarchar(100) NULL CONSTRAINT UQ_Customers_Email UNIQUE,
    FirstName nvarchar(30) NOT NULL,
    LastName nvarchar(30) NOT NULL,
    FullName AS (FirstName + N' ' + LastName),
    State char(2) NOT NULL CONSTRAINT DF_State DEFAULT ('WA') CONSTRAINT CK_State CHECK (State IN ('WA','OR','CA')),
    Zip char(5) NULL CONSTRAINT CK_Zip CHECK (Zip LIKE '[0-9][0-9][0-9][0-9][0-9]'),
    Active bit NOT NULL CONSTRAINT DF_Active DEFAULT (1),
    Created datetime NOT NULL CONSTRAINT DF_Created DEFAULT (getdate()),
    RowGuid uniqueidentifier NOT NULL CONSTRAINT DF_RowGuid DEFAULT (newid())
)
GO
CREATE TABLE sales.Orders (
    OrderID int NOT NULL CONSTRAINT PK_Orders PRIMARY KEY,
    CustomerID int NOT NULL CONSTRAINT FK_Orders_Customers FOREIGN KEY REFERENCES dbo.Customers (CustomerID)
        ON DELETE CASCADE,
    Parent int NULL CONSTRAINT FK_Orders_Parent FOREIGN KEY REFERENCES sales.Orders (OrderID),
    Status varchar(10) NOT NULL CONSTRAINT DF_Status DEFAULT ('open'),
    Placed datetime2(7) NOT NULL CONSTRAINT DF_Placed DEFAULT (sysutcdatetime()),
    Shipped datetime2(7) NULL,
    CONSTRAINT CK_Shipped CHECK (Shipped IS NULL OR Shipped >= Placed)
)
GO
CREATE TABLE sales.[Order Lines] (
    OrderID int NOT NULL,
    [Line No.] smallint NOT NULL,
    Quantity int NOT NULL CONSTRAINT CK_Quantity CHECK (Quantity > 0),
    Price money NOT NULL CONSTRAINT DF_Price DEFAULT (0),
    Total AS (Quantity * Price) PERSISTED,
    [from] nvarchar(20) NULL,
    CONSTRAINT PK_Lines PRIMARY KEY (OrderID, [Line No.]),
    CONSTRAINT FK_Lines_Orders FOREIGN KEY (OrderID) REFERENCES sales.Orders (OrderID)
)
GO
CREATE INDEX IX_Placed ON sales.Orders (Placed DESC) INCLUDE (Status)
GO
CREATE UNIQUE INDEX UX_OpenOrder ON sales.Orders (CustomerID) WHERE Status = 'open'
GO
CREATE VIEW sales.OpenOrders AS
SELECT o.OrderID, c.FullName, count(*) AS Lines, sum(l.Quantity) AS Pieces
FROM sales.Orders AS o
    INNER JOIN dbo.Customers AS c ON c.CustomerID = o.CustomerID
    INNER JOIN sales.[Order Lines] AS l ON l.OrderID = o.OrderID
WHERE o.Shipped IS NULL
GROUP BY o.OrderID, c.FullName
GO
CREATE VIEW sales.BigOpenOrders AS SELECT OrderID, Pieces FROM sales.OpenOrders WHERE Pieces > 10
GO
INSERT INTO dbo.Customers (Email, FirstName, LastName, State, Zip)
VALUES (N'ann@example.com', N'Ann', N'Ärger', 'wa', '98101'), (NULL, N'Bob', N'Brown', 'OR', NULL)
GO
INSERT INTO sales.Orders (OrderID, CustomerID, Parent, Status) VALUES (1, 100, NULL, 'open'), (2, 100, 1, 'done')
GO
INSERT INTO sales.[Order Lines] (OrderID, [Line No.], Quantity, Price)
VALUES (1, 1, 12, 2.5), (1, 2, 1, 10), (2, 1, 3, 0.3333)
"""


@pytest.fixture
def shop(tmp_path: Path, source_db: MssqlDatabase, target_db: PgDatabase) -> Tool:
    source_db.execute_script(SHOP)
    tool = Tool(tmp_path, source_db, target_db, target_mode="drop_recreate", create_views=True)
    tool.data["source"]["schema"] = ["dbo", "sales"]
    tool.write()
    return tool


def refused(target: PgDatabase, sql: str, error: type[psycopg.Error]) -> None:
    with pytest.raises(error):
        target.execute(sql)


def test_the_application_goes_on_as_before(shop: Tool, target_db: PgDatabase) -> None:
    result = shop.result("run")
    assert result["status"] == "completed"
    lines = target_db.execute('SELECT "Line No.", "Total"::text FROM sales."Order Lines" ORDER BY "OrderID", 1')
    assert lines == [(1, "30.0000"), (2, "10.0000"), (1, "0.9999")]
    names = target_db.execute('SELECT "FullName" FROM dbo."Customers" ORDER BY 1')
    assert {name for (name,) in names} == {"Ann Ärger", "Bob Brown"}

    # identities go on, defaults fill, computed columns compute
    (row,) = target_db.execute(
        'INSERT INTO dbo."Customers" ("FirstName", "LastName", "Email") VALUES (\'Cy\', \'Cole\', \'cy@x\')'
        ' RETURNING "CustomerID", "State", "Active", "FullName", "Created" IS NULL, "RowGuid" IS NULL'
    )
    assert row == (110, "WA", True, "Cy Cole", False, False)
    target_db.execute('INSERT INTO sales."Orders" ("OrderID", "CustomerID") VALUES (3, 110)')
    assert target_db.execute('SELECT "Status", "Placed" IS NOT NULL FROM sales."Orders" WHERE "OrderID" = 3') == [
        ("open", True)
    ]
    assert target_db.execute("SELECT nextval('sales.\"TicketNumbers\"')") == [(100,)]

    # uniques, checks and foreign keys refuse the same rows
    customer = 'INSERT INTO dbo."Customers" ("FirstName", "LastName", {}) VALUES (\'x\', \'y\', {})'
    refused(target_db, customer.format('"Email"', "'ann@example.com'"), psycopg.errors.UniqueViolation)
    if target_db.server.version >= 15:
        refused(target_db, customer.format('"Email"', "NULL"), psycopg.errors.UniqueViolation)
    for column, value in (('"State", "Email"', "'TX', 'a'"), ('"Zip", "Email"', "'9810x', 'b'")):
        refused(target_db, customer.format(column, value), psycopg.errors.CheckViolation)
    target_db.execute(customer.format('"State", "Email"', "'ca', 'c'"))
    order = 'INSERT INTO sales."Orders" ("OrderID", "CustomerID", "Status") VALUES ({})'
    refused(target_db, order.format("9, 999, 'done'"), psycopg.errors.ForeignKeyViolation)
    refused(target_db, order.format("9, 100, 'OPEN'"), psycopg.errors.UniqueViolation)
    refused(target_db, order.format("1, 105, 'done'"), psycopg.errors.UniqueViolation)
    target_db.execute(order.format("9, 100, 'done'"))
    line = 'INSERT INTO sales."Order Lines" ("OrderID", "Line No.", "Quantity") VALUES ({})'
    refused(target_db, line.format("9, 1, 0"), psycopg.errors.CheckViolation)

    # views answer
    assert target_db.execute('SELECT * FROM sales."BigOpenOrders"') == [(1, 13)]


def test_the_plan_names_what_is_not_carried_and_nothing_else(shop: Tool) -> None:
    plan = shop.result("plan")
    notes = plan["notes"] if "notes" in plan else plan["plan"]["notes"]
    assert [note for note in notes if note["severity"] in ("error", "not_carried")] == []
